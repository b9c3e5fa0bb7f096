"""Processes that are killed at random end, continued, as if nothing had been; `make kills` does it fifty times."""

import random

import pytest

from tests.kills import differing, settings

KILLS = 2


@pytest.mark.parametrize(
    ("task", "processes"),
    [
        ("recognition", 1),
        ("segmentation", 2),
        pytest.param("recognition", 2, marks=pytest.mark.long),
        pytest.param("detection", 1, marks=pytest.mark.long),
    ],
)
def test_killed_runs_end_as_one_that_nothing_stopped(tmp_path, monkeypatch, task, processes):
    """Two kills of each."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    setting = settings(tmp_path)[f"{task}, processes: {processes}"]
    moments, made, whole = random.Random(f"{task}{processes}"), 0, setting.whole()
    for number in range(4):
        run, kills = setting.killed(f"run{number}", KILLS - made, 1.5, moments)
        made += kills
        assert differing(whole, run) == []
        if made == KILLS:
            break
    assert made >= 1
