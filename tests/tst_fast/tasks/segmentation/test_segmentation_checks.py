"""Crops and batches that a network cannot be trained on are refused, and torch agrees that they are."""

import re
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from tests.tst_fast.label_maps import CLASSES, pairs_flags, write_pairs
from tst_fast.config import reading
from tst_fast.errors import UserError
from tst_fast.models.segmentation import build_segmenter
from tst_fast.run.session import make_network
from tst_fast.tasks import make_task
from tst_fast.tasks.dense import check_crop
from tst_fast.tasks.segmentation.checks import check_batch
from tst_pipelines import DataError

POOLED = {"deeplabv3/resnet18": "context.pool.1", "pspnet/mobilenetv2_100": "context.branches.0.1"}


def test_crops_fill_the_cells():
    check_crop((64, 96), 8, "student")
    with pytest.raises(
        UserError, match=r"crop_size is \[60, 96\].* multiples of 8 for --teacher.name: take \[56, 96\] or \[64, 96\]"
    ):
        check_crop((60, 96), 8, "teacher")
    with pytest.raises(UserError, match=r"take \[8, 8\] or \[8, 16\]"):
        check_crop((5, 12), 8, "student")


@pytest.mark.parametrize("name", POOLED)
def test_one_image_cannot_be_normalised_after_pooling(name):
    network = build_segmenter(name, 3, {})
    check_batch(network, (64, 64), 2, "student")
    with pytest.raises(UserError, match=rf"\({POOLED[name]}\), .* two images or more .*--student_training.accumulate"):
        check_batch(network, (64, 64), 1, "student")
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network.train()(torch.zeros(1, 3, 64, 64))
    assert all(module.training for module in network.modules())
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("name", ["dilated", "smp/PSPNet"])
def test_one_image_is_enough_without_pooled_batch_norm(name):
    network = build_segmenter(name, 3, {}).train()
    check_batch(network, (64, 64), 1, "student")
    network(torch.zeros(1, 3, 64, 64))


def _task(root, *flags):
    return make_task(
        reading.from_flags(["--config=segmentation/scenes", *pairs_flags(root), *flags]), Accelerator(cpu=True)
    )


def test_a_step_of_one_image_holds_a_second_crop_or_an_augmented_one(tmp_path):
    flags = "--student.name=deeplabv3/resnet18", "--student.arguments={}", "--data.batch_size=1"
    plain, root = "--distillation.augment=false", write_pairs(tmp_path / "pairs")

    def make(*more):
        task = _task(root, *flags, *more)
        return task.network("student", task.splits().train)

    make()
    make(plain, "--distillation.second_crop=true")
    with pytest.raises(UserError, match="two images or more"):
        make(plain)
    pooled = "--teacher.name=deeplabv3/resnet18", "--teacher.arguments={}", "--data.batch_size=1"
    with pytest.raises(UserError, match="two images or more"):
        _task(root, *pooled).network("teacher", _task(root).splits().train)
    _task(root, *pooled, "--teacher.checkpoint=a.pt").network("teacher", _task(root).splits().train)  # not trained


def test_test_images_of_several_sizes_are_refused_before_anything_is_trained(tmp_path):
    root = write_pairs(tmp_path / "pairs")
    for folder in ("images", "labels"):
        file = root / "test" / folder / "2.png"
        Image.fromarray(np.asarray(Image.open(file))[:, :40]).save(file)
    task = _task(root)
    with pytest.raises(UserError, match=r"is 16, .*0.png \(48 x 32\) and .*2.png \(40 x 32\): set it to 1"):
        task.evaluation_loader(task.splits().test)
    task = _task(root, "--data.test_batch_size=1")
    with closing(task.evaluation_loader(task.splits().test)) as loader:
        assert len(list(loader)) == 4


def test_a_network_of_ones_own_is_that_of_the_page_or_is_told_what_it_lacks(tmp_path, monkeypatch):
    page = (Path(__file__).parents[4] / "docs" / "own_code.md").read_text(encoding="utf-8")
    (cells,) = re.findall(r"```python\n([^`]*SegmentationNetwork\)[^`]*)```", page)
    faults = """
class Bare(Cells):
    def forward(self, images):
        return super().forward(images).logits

class Fewer(Cells):
    def __init__(self, num_classes):
        super().__init__(num_classes - 1)

class Unsaid(Cells):
    stride = None
"""
    (tmp_path / "own_cells.py").write_text(cells + faults)
    monkeypatch.chdir(tmp_path)
    root = write_pairs(tmp_path / "pairs")

    def make(name):
        flags = f"--student.name=own_cells:{name}", "--student.arguments={}"
        task = _task(root, *flags)
        return make_network(task.config, "student", task, task.splits().train, torch.device("cpu"))

    assert make("Cells").stride == 4
    for name, message in {
        "Bare": r"must put out a tst_fast.models.segmentation.SegmentationOutput, .* got a tensor \[2, 3, 16, 16\]",
        "Fewer": r"must put out logits \[2, 3, any, any\] for 2 images, got a tensor \[2, 2, 16, 16\]",
        "Unsaid": "must have a stride",
    }.items():
        with pytest.raises(UserError, match=rf"own_cells:{name} {message}"):
            make(name)


@pytest.mark.parametrize(
    ("split", "state", "remedy"),
    [
        ("train", "wrong", "no training pixel of disc in 8 label maps: add some, or leave the class out"),
        ("test", "doubtful", "no test pixel of disc in 4 label maps: its IoU does not count unless it is answered"),
    ],
)
def test_classes_without_a_pixel_are_named(tmp_path, split, state, remedy):
    root = write_pairs(tmp_path / "pairs")
    (finding,) = _task(root).checks(_task(root).splits())
    counts = np.zeros(3, int)
    for file in (root / "train/labels").iterdir():
        labels = np.asarray(Image.open(file))
        counts += np.bincount(labels[labels != 255], minlength=3)
    least, most = CLASSES[counts.argmin()], CLASSES[counts.argmax()]
    shares = f"{most} has {100 * counts.max() / counts.sum():.0f} % of the pixels and {least} "
    assert finding.state == "good" and shares in finding.found
    assert _task(root).absent(_task(root).splits()) == ""
    for file in (root / split / "labels").iterdir():
        labels = np.asarray(Image.open(file)).copy()
        labels[labels == 1] = 0
        Image.fromarray(labels).save(file)
    (finding,) = _task(root).checks(_task(root).splits())
    assert (finding.state, finding.remedy) == (state, remedy)
    assert _task(root).absent(_task(root).splits()) == (remedy if split == "train" else "")


@pytest.mark.parametrize(("split", "count"), [("train", 8), ("test", 4)])
def test_a_split_without_a_label_is_refused_when_it_is_read(tmp_path, split, count):
    root = write_pairs(tmp_path / "pairs")
    for number in range(count):
        Image.fromarray(np.full((32, 48), 255, np.uint8)).save(root / split / f"labels/{number}.png")
    with pytest.raises(DataError, match=rf"none of the {count} {split}.* images has a pixel with a label: all are ig"):
        _task(root).splits()
    labels = np.full((32, 48), 255, np.uint8)
    labels[3, 4] = 0
    Image.fromarray(labels).save(root / split / f"labels/{count - 1}.png")
    _task(root).splits()
