"""What would spoil a long run is said by the run itself, once."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tests.tst_fast.boxes import coco_flags, write_coco
from tests.tst_fast.events import events_of
from tests.tst_fast.run.test_detection_runs import TINY
from tst_fast.config import reading
from tst_fast.run import milestones
from tst_pipelines import ArrayDataset


def _count(capsys, words):
    return sum(line.startswith("warning: ") and words in line for line in capsys.readouterr().out.splitlines())


# Of 1,397 images and ten classes, chance is 10 %, and three standard errors of it are 2.4 points.
@pytest.mark.parametrize(("accuracy", "warnings"), [(0.05, 1), (0.12, 1), (0.13, 0), (0.9, 0)])
def test_a_teacher_at_chance_is_noticed_once(whole_run, tiny_config, make_run, monkeypatch, capsys, accuracy, warnings):
    """Its score stands for what evaluation finds; on resumption nothing is said again."""
    real = milestones.evaluate
    scores = {"accuracy": accuracy}
    monkeypatch.setattr(milestones, "evaluate", lambda *given: dataclasses.replace(real(*given), scores=scores))
    teacher = f"--teacher.checkpoint={whole_run.folder / 'teacher.safetensors'}"
    config = tiny_config(teacher, "--student_training.epochs=1", "--policy.search=none")
    run = make_run(config)
    run.run()
    run.close()
    assert _count(capsys, "the teacher is no better than chance") == warnings
    again = make_run(config)
    again.resume()
    again.run()
    assert _count(capsys, "chance") == 0


@pytest.mark.parametrize(("score", "warnings"), [(0.0, 1), (0.02, 0)])
def test_a_guess_finds_no_boxes(make_run, monkeypatch, capsys, tmp_path, score, warnings):
    """So that of two classes an average precision of 2 % is better than chance."""
    real, scores = milestones.evaluate, dict.fromkeys(("box_ap", "box_ap50", "box_ap75"), score)
    monkeypatch.setattr(milestones, "evaluate", lambda *given: dataclasses.replace(real(*given), scores=scores))
    short = "--teacher_training.epochs=1", "--teacher_training.optimizer.warmup_epochs=0", "--policy.search=none"
    flags = [*TINY, *coco_flags(write_coco(tmp_path / "coco")), *short, "--student_training.epochs=1"]
    make_run(reading.from_flags(flags)).run()
    assert _count(capsys, "the teacher is no better than chance (box AP") == warnings


def test_a_student_that_is_surer_than_the_teacher_is_noticed_once(tiny_config, make_run, monkeypatch):
    """As where the teacher's classes are in another order; after the second of three searches."""
    gaps = iter([0.1, -0.1, -0.2])
    half = {"teacher": 0.5, "student": 0.5}
    monkeypatch.setattr(
        milestones,
        "held_out_gaps",
        lambda session: {"trained": {**half, "gap": next(gaps)}, "untrained": {**half, "gap": 0.0}},
    )
    run = make_run(tiny_config("--policy.search_at=[0, 1, 2]", "--policy.search_epochs=1"))
    run.run()
    said = [sum("order of the data's" in text for text in one["warnings"]) for one in events_of(run.folder, "search")]
    assert said == [0, 1, 0]


def test_one_class_is_noticed(tmp_path, make_run, capsys):
    for split in ("train", "val"):
        (tmp_path / "images" / split / "only").mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (32, 32), (60 * i, 0, 0)).save(tmp_path / "images" / split / "only" / f"{i}.png")
    small = "--data.image_size=32", "--data.batch_size=4", "--data.crop=pad", "--policy.search=none"
    short = "--student_training.epochs=1", "--teacher_training.epochs=1"
    names = "--config=folder", f"--data.root={tmp_path / 'images'}", "--teacher.name=convnet", "--student.name=convnet"
    make_run(reading.from_flags([*names, *small, *short])).run()
    assert _count(capsys, "there is one class, only") == 1


def _lists(folder, *labels):
    """Flags of data whose training and test images have these labels, in turn."""
    for i in range(8):
        Image.new("RGB", (32, 32), (30 * i, 0, 0)).save(folder / f"{i}.png")
    (folder / "list").write_text("".join(f"{i}.png {labels[i % len(labels)]}\n" for i in range(8)))
    return "--data.name=list", f"--data.train={folder / 'list'}", f"--data.test={folder / 'list'}"


def own_splits(root):
    """Data as a user's function gives it, without an image of emu."""
    images = np.zeros((8, 32, 32, 3), np.uint8)
    split = ArrayDataset(images, np.arange(8, dtype=np.int64) % 2, ("cat", "dog", "emu"), "own")
    return split, split


ABSENT = {
    "from 1": (lambda folder: _lists(folder, 1, 2), "0: add some, or number the classes from 0, not from 1"),
    "a gap": (lambda folder: _lists(folder, 0, 3), "1, 2: add some, or leave the class out"),
    "none": (lambda folder: _lists(folder, 0, 1), ""),
    "own data": (lambda _: [f"--data.name={__name__}:own_splits"], "emu: add some, or leave the class out"),
}


@pytest.mark.parametrize("kind", ABSENT)
def test_classes_without_images_are_noticed_whatever_they_are_read_from(kind, tmp_path, make_run, capsys):
    data, said = ABSENT[kind]
    small = "--data.image_size=32", "--data.batch_size=4", "--data.crop=pad", "--policy.search=none"
    short = "--student_training.epochs=1", "--teacher_training.epochs=1"
    names = "--config=folder", f"--data.root={tmp_path}", "--teacher.name=convnet", "--student.name=convnet"
    run = make_run(reading.from_flags([*names, *small, *short, *data(tmp_path)]))
    run.run()
    found = [line for line in capsys.readouterr().out.splitlines() if "no training image" in line]
    assert found == ([f"warning: no training image of {said}"] if said else [])
    (finding,) = run.session.task.checks(run.session.splits)
    assert (finding.state, finding.remedy) == (("wrong", f"no training image of {said}") if said else ("good", ""))
