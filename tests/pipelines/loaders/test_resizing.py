"""Resizing on CPU threads, against Pillow."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tst_pipelines.loaders.resizing import BatchResizer
from tst_pipelines.placement import Placement


def placed(count: int, size: tuple[int, int], mirrored: Sequence[bool], canvas: tuple[int, int]) -> Placement:
    """All of each image resized to one size; of what it was, the resizer knows."""
    sizes, nothing = np.tile(np.array(size, np.int32), (count, 1)), np.zeros((count, 2), np.int32)
    return Placement(nothing, nothing, nothing, sizes, np.array(mirrored, np.int32)[:, None], canvas, (3, 5, 7))


@pytest.fixture
def resizer():
    resizer = BatchResizer(threads=3)
    yield resizer
    resizer.close()


@pytest.mark.parametrize(("size", "canvas"), [((224, 224), (224, 224)), ((90, 130), (90, 224)), ((31, 7), (64, 32))])
def test_a_batch_is_pillows(
    size: tuple[int, int], canvas: tuple[int, int], photos: list, resizer: BatchResizer
) -> None:
    boxes = [(0, 0, 640, 427), (100, 50, 101, 51), (3, 5, 227, 229), (0, 9, 640, 10), (7, 0, 8, 400), (9, 9, 99, 30)]
    images = [photo.crop(box) for photo in photos[:2] for box in boxes]
    mirrored = [index % 3 > 0 for index in range(len(images))]
    pixels = [torch.from_numpy(np.array(image)) for image in images]
    batch = resizer(pixels, placed(len(images), size, mirrored, canvas))
    assert batch.shape == (12, *canvas, 3)
    assert batch.is_contiguous()
    for image, mirror, actual in zip(images, mirrored, batch.numpy(), strict=True):
        expected = image.resize(size[::-1], Image.Resampling.BILINEAR)
        expected = np.asarray(ImageOps.mirror(expected) if mirror else expected, np.int16)
        assert np.abs(actual[: size[0], : size[1]] - expected).max() <= 1
        beside = np.ones(canvas, bool)
        beside[: size[0], : size[1]] = False
        assert (actual[beside] == (3, 5, 7)).all()


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_its_threads_start_no_others(resizer: BatchResizer) -> None:
    images = [torch.zeros(300, 300, 3, dtype=torch.uint8)] * 8
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    before = len(os.listdir("/proc/self/task"))
    try:
        resizer(images, placed(8, (224, 224), [True, False] * 4, (224, 224)))
    finally:
        torch.set_num_threads(threads)
    assert len(os.listdir("/proc/self/task")) <= before + 3


def test_what_goes_wrong_in_a_thread_is_raised(resizer: BatchResizer) -> None:
    with pytest.raises(RuntimeError, match="Input and output sizes should be greater than 0"):
        resizer([torch.zeros(0, 5, 3, dtype=torch.uint8)], placed(1, (4, 4), [False], (4, 4)))
