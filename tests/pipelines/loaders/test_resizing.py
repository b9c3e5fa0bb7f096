"""Resizing on CPU threads, against Pillow."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tst_pipelines.loaders.resizing import BatchResizer


@pytest.fixture
def resizer():
    resizer = BatchResizer(224, threads=3)
    yield resizer
    resizer.close()


def test_a_batch_is_pillows(photos: list, resizer: BatchResizer) -> None:
    boxes = [(0, 0, 640, 427), (100, 50, 101, 51), (3, 5, 227, 229), (0, 9, 640, 10), (7, 0, 8, 400), (9, 9, 99, 30)]
    images = [photo.crop(box) for photo in photos[:2] for box in boxes]
    mirrored = [index % 3 > 0 for index in range(len(images))]
    batch = resizer([torch.from_numpy(np.array(image)) for image in images], mirrored)
    assert batch.shape == (12, 224, 224, 3)
    assert batch.is_contiguous()
    for image, mirror, actual in zip(images, mirrored, batch.numpy(), strict=True):
        expected = image.resize((224, 224), Image.Resampling.BILINEAR)
        expected = np.asarray(ImageOps.mirror(expected) if mirror else expected, np.int16)
        assert np.abs(actual - expected).max() <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_its_threads_start_no_others(resizer: BatchResizer) -> None:
    images = [torch.zeros(300, 300, 3, dtype=torch.uint8)] * 8
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    before = len(os.listdir("/proc/self/task"))
    try:
        resizer(images, [True, False] * 4)
    finally:
        torch.set_num_threads(threads)
    assert len(os.listdir("/proc/self/task")) <= before + 3


def test_what_goes_wrong_in_a_thread_is_raised(resizer: BatchResizer) -> None:
    with pytest.raises(RuntimeError, match="Input and output sizes should be greater than 0"):
        resizer([torch.zeros(0, 5, 3, dtype=torch.uint8)], [False])
