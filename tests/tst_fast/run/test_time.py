"""Seconds by name, and what a run says of its time, by a clock of the test's own."""

import pytest
import torch
from accelerate import Accelerator

from tst_fast.commands.doctor_checks import examine
from tst_fast.run.stopwatch import Stopwatch
from tst_pipelines import CachedLoader

INTERLEAVED = ("--policy.search=interleaved", "--policy.search_every=3", "--policy.search_steps=2")
SECOND_CROP = ("--distillation.augment=false", "--distillation.second_crop=true", "--policy.search=none")


@pytest.fixture
def slow_loading(clock, monkeypatch):
    """Half a second a batch, by the clock of the test."""
    batches = CachedLoader.__iter__

    def slowed(self):
        for batch in batches(self):
            clock.now += 0.5
            yield batch

    monkeypatch.setattr(CachedLoader, "__iter__", slowed)


def test_seconds_add_up_by_name_until_they_are_read(clock):
    stopwatch = Stopwatch(torch.device("cpu"))
    for seconds in (3.0, 4.0):
        with stopwatch.measure("outer"):
            clock.now += seconds
            with stopwatch.measure("inner"):
                clock.now += 1.0
        clock.now += 10.0
    assert stopwatch.read() == {"outer": 9.0, "inner": 2.0}
    assert stopwatch.read() == {}


# The run has 8 steps of the teacher, 12 of the student and, with either schedule, 8 of the policy.
@pytest.mark.parametrize("flags", [(), INTERLEAVED], ids=["listed", "interleaved"])
def test_a_run_says_how_long_the_student_and_the_search_took(tiny_config, make_run, slow_steps, flags):
    result = make_run(tiny_config(*flags)).run()
    student, search, teacher = 12 * 2.0, 8 * 5.0, 8 * 2.0
    assert result["images_per_second"] == pytest.approx(12 * 100 / student)
    assert result["search_share"] == pytest.approx(search / (search + student))
    assert result["wall_seconds"] == pytest.approx(student + search + teacher)


def test_a_stop_loses_none_of_the_time(tiny_config, make_run, stop_run, slow_steps, clock):
    """Within an epoch: what is counted twice or not at all would show."""
    config = tiny_config()
    folder = stop_run(config, 8 + 4 + 8 + 3)
    clock.now += 1000.0
    resumed = make_run(config, folder.name)
    resumed.resume()
    result = resumed.run()
    student, search, teacher = 12 * 2.0, 8 * 5.0, 8 * 2.0
    assert result["images_per_second"] == pytest.approx(12 * 100 / student)
    assert result["search_share"] == pytest.approx(search / (search + student))
    assert result["wall_seconds"] == pytest.approx(student + search + teacher)


@pytest.mark.parametrize(
    ("flags", "searched", "loaded"),
    [((), 8, 28), (INTERLEAVED, 8, 20), (("--policy.search_fraction=0.5",), 4, 24), (SECOND_CROP, 0, 8 + 2 * 12)],
    ids=["listed", "interleaved", "half epochs", "second crop"],
)
def test_the_doctor_expects_of_each_stage_its_seconds_times_its_steps(
    tiny_config, slow_steps, slow_loading, flags, searched, loaded
):
    findings = {finding.check: finding for finding in examine(tiny_config(*flags), Accelerator(cpu=True), 100)}
    seconds = {
        "search": 5 * searched,
        "student: backward and step": 2 * 12,
        "training the teacher": 2 * 8,
        "loading": 0.5 * loaded,
        "evaluation": 0.5 * 14 * 3,  # batches of test images, epochs
    }
    if not searched:
        del seconds["search"]
    total = sum(seconds.values())
    assert f"about {total:.0f} seconds on this machine; 12 student steps" in findings["time"].found
    shares = dict(share.rsplit(" ", 2)[:2] for share in findings["share of time"].found.split(", "))
    assert shares == {name: f"{100 * value / total:.0f}" for name, value in seconds.items()}
