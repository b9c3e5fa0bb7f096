"""`tst-fast predict`: answers to files are those that the run's own evaluation counted."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from tests.tst_fast.label_maps import CLASSES, pairs_flags, write_pairs
from tests.tst_fast.processes import only
from tests.tst_fast.run.test_segmentation_runs import TINY
from tst_fast.cli import main
from tst_fast.config.data import DataConfig
from tst_fast.config.schema import Config
from tst_fast.models.weights import saved_classes
from tst_fast.tasks.classification import Classification
from tst_fast.tasks.segmentation.pictures import COLOURS
from tst_fast.tasks.segmentation.predictions import numbers_in_files
from tst_fast.train import main as train
from tst_pipelines import UnlabelledBatch, digits


def _exit_status(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["predict", *map(str, arguments)])
    return stopped.value.code


def _table(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture(scope="module")
def segmented(tmp_path_factory):
    """Images with label maps, whose numbers are 10, 20 and 30, and the folder of a run on them."""
    root, runs = write_pairs(tmp_path_factory.mktemp("pairs")), tmp_path_factory.mktemp("runs")
    for file in root.glob("*/labels/*.png"):
        Image.fromarray(np.array([10, 20, 30, *[255] * 253], np.uint8)[np.asarray(Image.open(file))]).save(file)
    short = "--teacher_training.epochs=1", "--teacher_training.optimizer.warmup_epochs=0", "--policy.search=none"
    train([*TINY, *pairs_flags(root), "--data.ids={10: 0, 20: 1, 30: 2, 40: 2}", *short, f"--output={runs}"])
    return root, only(runs)


def test_recognition_writes_a_table(whole_run, tmp_path, capsys):
    """Of handwritten digits, some in a folder of their own; one file is damaged."""
    test = digits()[1]
    for number in range(len(test)):
        folder = tmp_path / "images" / ("sub" if number % 2 else "")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(test.path(number), folder / f"{number:04}.png")
    (tmp_path / "images/sub/cut.png").write_bytes((tmp_path / "images/0000.png").read_bytes()[:60])
    (tmp_path / "images/notes.txt").write_text("no image")
    assert _exit_status(whole_run.folder, tmp_path / "images", "--output", tmp_path / "out") == 1
    printed = capsys.readouterr().out
    assert "sub/cut.png: truncated or damaged image" in printed
    assert f"{len(test):,} images answered, 1 left out, which cannot be read; everything is in" in printed
    table = _table(tmp_path / "out/predictions.csv")
    names = [f"{'sub/' if number % 2 else ''}{number:04}.png" for number in range(len(test))]
    assert [row["file"] for row in table] == sorted(names, key=lambda name: ("/" in name, name))
    right = [row["class"] == test.classes[test.labels[int(row["file"][-8:-4])]] for row in table]
    assert np.mean(right) == pytest.approx(whole_run.result["student"]["accuracy"])
    for row in table[:50]:
        confidences = [float(row[key]) for key in ("confidence", *(f"confidence_{i}" for i in range(2, 6)))]
        assert confidences == sorted(confidences, reverse=True) and 0.3 < sum(confidences) <= 1.00001


def test_segmentation_writes_label_maps_and_pictures(segmented, tmp_path):
    """With the numbers of the data's own label maps, so that the two can be compared: as the evaluation has done."""
    root, run = segmented
    images = tmp_path / "images"
    shutil.copytree(root / "test" / "images", images / "some")
    Image.effect_noise((37, 50), 60).convert("RGB").save(images / "odd.jpg")
    assert _exit_status(run / "student.safetensors", images, "--output", tmp_path / "out") == 0
    counts = np.zeros(2, int)
    for file in sorted((root / "test/labels").iterdir()):
        expected, found = np.asarray(Image.open(file)), np.asarray(Image.open(tmp_path / "out/labels/some" / file.name))
        assert found.dtype == np.uint8 and found.shape == expected.shape
        assert set(np.unique(found)) <= {10, 20, 30}
        counts += (expected == found).sum(), (expected != 255).sum()
        picture = np.asarray(Image.open(tmp_path / "out/overlays/some" / file.name), float)
        image = np.asarray(Image.open(images / "some" / file.name), float)
        np.testing.assert_allclose(picture, 0.6 * COLOURS[found // 10 - 1] + 0.4 * image, atol=0.51)
    result = json.loads((run / "result.json").read_text())
    assert counts[0] / counts[1] == pytest.approx(result["student"]["pixel_accuracy"])
    for kind in ("labels", "overlays"):
        with Image.open(tmp_path / "out" / kind / "odd.png") as answer:
            assert answer.size == (37, 50)
    classes = _table(tmp_path / "out/classes.csv")
    assert [(row["number"], row["class"]) for row in classes] == list(zip(["10", "20", "30"], CLASSES, strict=True))


def test_what_cannot_be_answered_is_refused(segmented, tmp_path):
    root, run = segmented
    image = root / "test/images/0.png"
    assert "is neither a run's folder" in _exit_status(tmp_path, image, "--output", tmp_path / "out")
    shutil.copy(run / "student.safetensors", tmp_path / "student.safetensors")
    assert "holds no config.yaml" in _exit_status(tmp_path, image, "--output", tmp_path / "out")
    assert "is not empty" in _exit_status(run, image, "--output", root)
    assert (image.parent / "0.png").is_file()
    (tmp_path / "empty").mkdir()
    assert "empty holds no images" in _exit_status(run, tmp_path / "empty", "--output", tmp_path / "out")
    assert "nowhere cannot be read" in _exit_status(run, tmp_path / "nowhere", "--output", tmp_path / "out")
    (tmp_path / "twice").mkdir()
    for extension in ("png", "jpg"):
        Image.open(image).save(tmp_path / "twice" / f"a.{extension}")
    refusal = _exit_status(run, tmp_path / "twice", "--output", tmp_path / "out")
    assert "a.jpg and a.png would be written to the same file" in refusal
    assert _exit_status(run, tmp_path / "twice/a.jpg", "--output", tmp_path / "out") == 0


def test_a_student_of_before_asks_its_data_for_the_classes(segmented, tmp_path):
    """Files of 0.1.0 do not name them; where the data is gone too, that is said."""
    from safetensors.torch import load_file, save_file

    root, run = segmented
    assert saved_classes(run / "student.safetensors") == CLASSES
    old = tmp_path / "old"
    shutil.copytree(run, old)
    save_file(load_file(run / "student.safetensors"), old / "student.safetensors")
    image = root / "test/images/0.png"
    assert _exit_status(old, image, "--output", tmp_path / "out") == 0
    assert len(_table(tmp_path / "out/classes.csv")) == len(CLASSES)
    config = (old / "config.yaml").read_text().replace(str(root), str(tmp_path / "gone"))
    (old / "config.yaml").write_text(config)
    assert "gone: there is no such folder" in _exit_status(old, image, "--output", tmp_path / "two")


def test_numbers_are_those_of_the_datas_files():
    of_cityscapes = DataConfig(name="cityscapes")
    assert numbers_in_files(of_cityscapes, 19)[[0, 2, 18]].tolist() == [7, 11, 33]
    assert numbers_in_files(dataclasses.replace(of_cityscapes, labels="labelTrainIds"), 19).tolist() == [*range(19)]
    assert numbers_in_files(DataConfig(name="pairs", ids={9: 1, 4: 1, 0: 255, 7: 0}), 2).tolist() == [7, 4]
    assert numbers_in_files(DataConfig(name="pairs"), 3).tolist() == [0, 1, 2]


def test_two_classes_have_no_third(tmp_path):
    batch = UnlabelledBatch(["a.png"], torch.zeros(1, 4, 4, 3, dtype=torch.uint8), None)
    task = Classification(Config(), Accelerator(cpu=True))
    task.write_predictions(["a.png"], [(batch, torch.tensor([[0.0, 3.0]]).log())], ["no", "yes"], tmp_path)
    row = {"file": "a.png", "class": "yes", "confidence": "1.000000", "class_2": "no", "confidence_2": "0.000000"}
    assert _table(tmp_path / "predictions.csv") == [row]
