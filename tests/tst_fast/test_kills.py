"""Processes that are killed at random end, continued, as if nothing had been; `make kills` does it fifty times."""

import random

import pytest

from tests.kills import differing, settings


@pytest.mark.parametrize(
    ("task", "processes", "kills"),
    [
        ("segmentation", 2, 1),
        pytest.param("recognition", 1, 2, marks=pytest.mark.long),  # `test_command_line` kills one such process
        pytest.param("recognition", 2, 2, marks=pytest.mark.long),
        pytest.param("segmentation", 2, 2, marks=pytest.mark.long),
        pytest.param("detection", 1, 2, marks=pytest.mark.long),
    ],
)
def test_killed_runs_end_as_one_that_nothing_stopped(tmp_path, monkeypatch, task, processes, kills):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    setting = settings(tmp_path)[f"{task}, processes: {processes}"]
    moments, made, whole = random.Random(f"{task}{processes}"), 0, setting.whole()
    for number in range(4):
        run, times = setting.killed(f"run{number}", kills - made, 1.5, moments)
        made += times
        assert differing(whole, run) == []
        if made == kills:
            break
    assert made >= 1
