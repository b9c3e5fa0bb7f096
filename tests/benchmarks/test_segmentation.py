"""The benchmark of segmentation: rows for every arm, arms that do the same work, and a check that can fail."""

import dataclasses
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import segmentation
from tst_pipelines import DaliLoader, Share


@pytest.fixture
def pairs(tmp_path, monkeypatch, threads_restored):
    monkeypatch.setattr(segmentation, "MADE", 8)
    return segmentation.pairs_of(None, tmp_path)


def test_every_loader_has_a_row_and_labels_of_pillow(pairs):
    rows = segmentation.loading(pairs, 2, 0.01, 1)
    assert [row["name"] for row in rows] == ["torchvision, bare loop", "DaliLoader", "CachedLoader"]
    assert all(row["images_per_second"] > 0 and row["cpu_ms_per_image"] > 0 for row in rows)
    assert [row.get("labels_equal_to_pillows") for row in rows] == [None, True, True]


def test_the_bare_loop_has_as_many_threads_as_the_loaders(pairs, monkeypatch):
    both, make = threading.Barrier(2, timeout=10), segmentation._torchvision_pair
    monkeypatch.setattr(segmentation, "_torchvision_pair", lambda *which: both.wait() < 2 and make(*which))
    assert segmentation.loading(pairs, 2, 0.01, 1)[0]["images_per_second"] > 0


def test_other_labels_are_not_equal(pairs):
    with DaliLoader(pairs, segmentation.CROP, 8, Share(training=True, seed=segmentation.SEED)) as loader:
        batch = next(iter(loader))
        batch.labels[3, 100, 100] ^= 1
        loader_of_one = dataclasses.make_dataclass("Loader", ["dataset", "batches"])(pairs, [batch])
        type(loader_of_one).__iter__ = lambda self: iter(self.batches)
        assert not segmentation.labels_equal(loader_of_one)
        batch.labels[3, 100, 100] ^= 1
        assert segmentation.labels_equal(loader_of_one)


def test_torchvisions_pairs_are_crops_with_their_labels(pairs):
    images, labels = next(segmentation.torchvision_pairs(pairs, 2))
    assert images.shape == (8, 3, 256, 256) and labels.shape == (8, 1, 256, 256)
    known = np.unique([np.asarray(Image.open(pairs.label_path(index))) for index in range(len(pairs))])
    assert set(labels.unique().tolist()) <= {*known.tolist(), 255}


def test_every_arm_of_the_augmentation_has_a_row():
    with torch._dynamo.config.patch(disable=True):
        rows = segmentation.augmentation(1)
    passes = [(row["name"], row["pass"]) for row in rows]
    assert passes == [
        *((name, "forward") for name in ("ours", "ours, compiled", "torchvision")),
        *((name, "both") for name in ("ours", "ours, compiled")),
    ]
    assert [row["ratio_to_torchvision"] is None for row in rows] == [False] * 3 + [True] * 2
