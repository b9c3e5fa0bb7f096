"""The benchmark of detection: rows for every arm, and arms that do the same work."""

import threading

import pytest
import torch

from benchmarks import detection
from tests.tst_fast.detectors import CLASSES, images, objects, tiny
from tst_fast.models.detection.anchors import listed


@pytest.fixture
def made(tmp_path, monkeypatch, threads_restored):
    monkeypatch.setattr(detection, "MADE", 8)
    return detection.images_of(None, tmp_path)


def test_every_loader_has_a_row(made):
    rows = detection.loading(made, 2, 0.01, 1)
    assert [row["name"] for row in rows] == ["torchvision's references, bare loop", "DaliLoader", "CachedLoader"]
    assert all(row["images_per_second"] > 0 and row["cpu_ms_per_image"] > 0 for row in rows)


def test_the_bare_loop_has_as_many_threads_as_the_loaders(made, monkeypatch):
    both, make = threading.Barrier(2, timeout=10), detection._reference
    monkeypatch.setattr(detection, "_reference", lambda *which: both.wait() < 2 and make(*which))
    assert detection.loading(made, 2, 0.01, 1)[0]["images_per_second"] > 0


def test_the_references_batches_have_the_boxes_of_their_images(made):
    for image, targets in next(detection.references(made, 2)):
        height, width = image.shape[1:]
        assert len(targets["boxes"]) == len(targets["labels"]) <= 5
        assert (targets["boxes"][:, 2] <= width).all() and (targets["boxes"][:, 3] <= height).all()


def test_torchvisions_arm_has_the_loss_of_ours():
    ours = tiny("fcos").train()
    theirs = detection.torchvisions(ours, len(CLASSES)).train()
    expected = sum(theirs(list(images()), listed(objects())).values())
    torch.testing.assert_close(ours(images()).loss(objects()), expected, rtol=1e-6, atol=0)


def test_every_step_has_a_row():
    rows = detection.steps(1)
    assert [row["ratio_to_torchvision"] is None for row in rows] == [False, False, True, True, True]
    assert all(row["milliseconds"] > 0 for row in rows)
