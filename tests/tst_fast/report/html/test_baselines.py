"""A KD run beside the TST run of its seed."""

import copy
import dataclasses

import pytest

from tests.tst_fast.report.html.folders import MadeUp
from tests.tst_fast.report.html.parsing import page_of
from tst_fast.report.html.baselines import baseline_pairs, difference_rows
from tst_fast.report.html.data import read_folders
from tst_fast.report.metrics import Evaluated, read_metrics, to_line

TST = {
    "seed": 0,
    "task": "t",
    "data": {"root": "/a", "batch_size": 100},
    "student_training": {"epochs": 3},
    "distillation": {"teacher": True, "augment": True},
    "policy": {"search": "listed"},
}
KD = {**TST, "data": {"root": "/b", "batch_size": 100}, "distillation": {"teacher": True, "augment": False}}


def write(folder, settings, **made_up):
    return MadeUp(settings=copy.deepcopy(settings), **made_up).write(folder)


def test_runs_of_the_same_seed_are_beside_each_other(tmp_path):
    shifts = {"tst0": (TST, 0, 0.04), "kd1": (KD, 1, 0.0), "tst1": (TST, 1, -0.01), "kd0": (KD, 0, 0.01)}
    folders = [
        write(tmp_path / name, {**settings, "seed": seed}, shift=shift)
        for name, (settings, seed, shift) in shifts.items()
    ]
    pairs = baseline_pairs(read_folders(folders)[0])
    assert [(one.label, other.label) for one, other in pairs] == [("tst0", "kd0"), ("tst1", "kd1")]
    last = 100 * (0.5 + 0.1 * 2 / 3)
    assert difference_rows(pairs) == [
        ["0", f"tst0: {last + 4:.2f}", f"kd0: {last + 1:.2f}", "+3.00"],
        ["1", f"tst1: {last - 1:.2f}", f"kd1: {last:.2f}", "-1.00"],
        ["mean", "", "", "+1.00"],
    ]


@pytest.mark.parametrize(
    ("changed", "ended"),
    [
        ({"seed": 1}, True),
        ({"data": {"root": "/b", "batch_size": 50}}, True),
        ({"student_training": {"epochs": 4}}, True),
        ({"distillation": {"teacher": False, "augment": False}}, True),
        ({"distillation": {"teacher": True, "augment": True}, "policy": {"search": "none"}}, True),
        ({}, False),
    ],
    ids=["seed", "batch size", "epochs", "student alone", "untrained policy", "not ended"],
)
def test_what_is_no_baseline_is_beside_none(tmp_path, changed, ended):
    folders = [write(tmp_path / "tst", TST), write(tmp_path / "other", {**KD, **changed}, ended=ended)]
    assert baseline_pairs(read_folders(folders)[0]) == []


def test_a_run_with_another_teacher_is_no_baseline(tmp_path):
    folders = [write(tmp_path / "tst", TST), write(tmp_path / "other", KD, teacher=0.91)]
    assert baseline_pairs(read_folders(folders)[0]) == []


@pytest.mark.parametrize(("far", "is_one"), [(0.01, False), (1e-6, True)])
def test_a_teacher_is_known_by_its_scores_by_class(far, is_one, tmp_path):
    """Both runs' teachers are right as often; far: how much more often one is in one class."""
    folders = [write(tmp_path / name, settings) for name, settings in (("tst", TST), ("kd", KD))]
    file, lines = folders[1] / "metrics.jsonl", []
    for event in read_metrics(file):
        if isinstance(event, Evaluated) and event.role == "teacher":
            accuracies = event.by_class["top1"]
            event = dataclasses.replace(event, by_class={"top1": accuracies | {"cat": accuracies["cat"] + far}})
        lines.append(to_line(event) + "\n")
    file.write_text("".join(lines))
    assert len(baseline_pairs(read_folders(folders)[0])) == is_one


def test_two_baselines_are_none(tmp_path):
    folders = [write(tmp_path / name, settings) for name, settings in (("tst", TST), ("kd", KD), ("kd2", KD))]
    assert baseline_pairs(read_folders(folders)[0]) == []


def test_the_page_tells_of_them(tmp_path):
    folders = [write(tmp_path / "tst", TST, shift=0.02), write(tmp_path / "kd", KD)]
    page = page_of(*folders)
    assert "+2.00" in page.text
    (differences,) = page.numbers("Differences by class, TST - KD of the same seed, points")
    assert differences == pytest.approx([2, 2, 0])  # the last class is always right
