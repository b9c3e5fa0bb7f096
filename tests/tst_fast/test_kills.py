"""Processes that are killed at random end, continued, as if nothing had been; `make kills` does it fifty times."""

import random

from tests.kills import RECOGNITION, Setting, differing


def test_killed_runs_end_as_one_that_nothing_stopped(tmp_path):
    setting, moments, made = Setting(RECOGNITION, 1, tmp_path), random.Random(1), 0
    whole = setting.whole()
    for number in range(4):
        run, kills = setting.killed(f"run{number}", 3 - made, 1.5, moments)
        made += kills
        assert differing(whole, run) == []
        if made >= 3:
            break
    assert made >= 1
