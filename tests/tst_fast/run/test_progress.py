"""How far a run has come survives a checkpoint whole, and its clock gives each second to one stage."""

import dataclasses

import pytest

from tst_fast.policy.policy import Policy
from tst_fast.run import checkpoint
from tst_fast.run.progress import Clock, Progress


def _advanced():
    """Nothing in it is as it was at the beginning."""
    clock = Clock(total=60.5, student=20.25, search=10.125, student_images=4000)
    learned = Policy(["Rotate", "Invert"], operations_per_image=2).learned()
    made = Progress(
        history=[learned, learned],
        pass_index=3,
        step=2,
        global_step=14,
        pass_loss=4.5,
        student_scores=[{"epoch": 0, "accuracy": 0.5}, {"epoch": 1, "accuracy": 0.625}],
        teacher_scores={"accuracy": 0.75},
        gaps=[{"epoch": 1, "trained": {"gap": 0.25}, "untrained": {"gap": 0.125}}],
        clock=clock,
    )
    return made


def test_a_checkpoint_brings_all_of_it_back(tmp_path):
    progress = _advanced()
    checkpoint.save(tmp_path, 14, {"progress": progress.state_dict()})
    again = Progress.from_state(checkpoint.load_newest(tmp_path).state["progress"])
    assert again == progress
    assert again.history[0][0].operation == "Rotate" and again.clock.images_per_second == pytest.approx(4000 / 20.25)


def test_its_state_is_a_copy():
    progress = _advanced()
    state = progress.state_dict()
    progress.student_scores.append({"epoch": 2, "accuracy": 0.5})
    progress.clock.total += 1
    assert Progress.from_state(state) == _advanced()


def test_the_end_of_a_pass_begins_the_next():
    progress = _advanced()
    progress.end_pass()
    assert (progress.pass_index, progress.step, progress.pass_loss, progress.global_step) == (4, 0, 0.0, 14)


def test_a_clock_that_has_measured_nothing_says_nothing():
    clock = Clock()
    clock.add("teacher", 5.0, 0.0, 500)
    assert (clock.search_share, clock.images_per_second) == (None, None)
    assert dataclasses.asdict(clock) == {"total": 0.0, "student": 0.0, "search": 0.0, "student_images": 0}


def test_seconds_of_the_search_within_the_students_pass_are_the_searchs():
    clock = Clock()
    clock.add("search", 3.0, 3.0, 300)
    clock.add("student", 10.0, 2.0, 1000)
    assert (clock.search, clock.student, clock.student_images) == (5.0, 8.0, 1000)
    assert clock.search_share == pytest.approx(5 / 13)
    assert clock.images_per_second == pytest.approx(125.0)
