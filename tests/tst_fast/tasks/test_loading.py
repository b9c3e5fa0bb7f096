"""Threads that decode: as given, or a process's share of the cores that it may use."""

import os

import pytest

from tst_fast.config.data import DataConfig
from tst_fast.tasks.loading import decoding_threads


@pytest.mark.parametrize(
    ("given", "cores", "environment", "expected"),
    [
        (None, 12, {}, 12),
        (None, 12, {"WORLD_SIZE": "4"}, 3),
        (None, 12, {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "2"}, 6),
        (None, 2, {"LOCAL_WORLD_SIZE": "8"}, 1),
        (None, 128, {}, 16),
        (40, 12, {"LOCAL_WORLD_SIZE": "2"}, 40),
    ],
)
def test_a_process_has_its_share_of_the_cores(given, cores, environment, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert decoding_threads(DataConfig(threads=given)) == expected
