"""A run of seconds for the tests: tiny networks, few passes, real digits."""

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator

from tests.tst_fast.recording import Batches, record_batches
from tests.tst_fast.schedules import SCHEDULES
from tests.tst_fast.stopping import Stopped, stop_after
from tst_fast.config import reading
from tst_fast.config.schema import Config
from tst_fast.run.loop import Run
from tst_fast.run.search import PolicySearch
from tst_fast.run.start import open_run
from tst_fast.run.update import ModelUpdate


@pytest.fixture(scope="session")
def tiny_flags():
    return (
        "--config=digits",
        "--teacher.arguments={channels: [4, 8]}",
        "--student.arguments={channels: [4]}",
        "--teacher_training.epochs=2",
        "--student_training.epochs=3",
        "--policy.search_at=[1]",
        "--policy.search_epochs=2",
        "--data.image_size=16",
        "--data.batch_size=100",
        "--log_every=1",
        "--checkpoint_every=2",
    )


@pytest.fixture(scope="session")
def tiny_config(tiny_flags):
    """A function from further flags to a configuration."""

    def make(*flags):
        return reading.from_flags([*tiny_flags, *flags])

    return make


@pytest.fixture
def make_run(tmp_path):
    """A function from a configuration to a run in a folder of its own; every run is closed after the test."""
    runs = []

    def make(config, name="run"):
        runs.append(open_run(config, tmp_path / name, Accelerator(cpu=True), quiet=True))
        return runs[-1]

    yield make
    for run in runs:
        run.close()


@pytest.fixture
def stop_run(make_run):
    """A function that begins a run and stops it after some updates of anything; `make_run` then opens it again."""

    def stop(config, updates, name="run"):
        run = make_run(config, name)
        with stop_after(updates), pytest.raises(Stopped):
            run.run()
        run.close()
        return run.folder

    return stop


@pytest.fixture
def steps(monkeypatch):
    """How many steps were taken since the test began, by what takes them."""
    counts = {ModelUpdate: 0, PolicySearch: 0}

    def counted(kind, step):
        def wrapped(self, batch):
            counts[kind] += 1
            return step(self, batch)

        return wrapped

    for kind in counts:
        monkeypatch.setattr(kind, "step", counted(kind, kind.step))
    return counts


class Clock:
    """Stands still but for what a test says takes time."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """What the program reads the time from."""
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


@pytest.fixture
def slow_steps(clock, monkeypatch):
    """By the clock of the test, a step of a network takes two seconds, one of the policy five, and all else nothing."""

    def slowed(step, seconds):
        def wrapped(self, batch):
            clock.now += seconds
            return step(self, batch)

        return wrapped

    for kind, seconds in ((ModelUpdate, 2.0), (PolicySearch, 5.0)):
        monkeypatch.setattr(kind, "step", slowed(kind.step, seconds))


@dataclass
class WholeRun:
    """What is left of a run that nothing stopped."""

    config: Config
    folder: Path
    result: dict[str, Any]
    run: Run
    batches: Batches


@pytest.fixture(scope="session")
def whole_run_of(tiny_config, tmp_path_factory):
    """A function from the name of a schedule to its run, made once."""

    @functools.cache
    def make(schedule):
        config, folder = tiny_config(*SCHEDULES[schedule]), tmp_path_factory.mktemp("whole")
        run = open_run(config, folder, Accelerator(cpu=True), quiet=True)
        with record_batches() as batches:
            result = run.run()
        run.close()
        return WholeRun(config, folder, result, run, batches)

    return make


@pytest.fixture(scope="session")
def whole_run(whole_run_of):
    return whole_run_of("listed")
