"""Decodes a whole data set once, in order: by DALI where it is installed, else by Pillow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from PIL import Image

from tst_pipelines.datasets.arrays import ArrayDataset
from tst_pipelines.datasets.files import ImageFiles, shown
from tst_pipelines.loaders.bad_files import unreadable
from tst_pipelines.loaders.dali import DaliLoader
from tst_pipelines.loaders.pillow import PILLOW_ERRORS, fault_of, fitted, rgb
from tst_pipelines.sampling import Share
from tst_pipelines.transforms import ResizeCenterCrop, Whole

_CHUNK = 64  # images decoded between two that are given


def decoded(
    dataset: ImageFiles | ArrayDataset, transform: ResizeCenterCrop, device: torch.device, threads: int
) -> Iterator[torch.Tensor]:
    """Every image once, in order.

    Args:
        dataset: image files, or an `ArrayDataset`.
        transform: makes all images one size; images of this size are not changed.
        device: where DALI decodes.
        threads: how many decode.

    Yields:
        uint8 [B, size, size, 3], on `device` or in host memory.

    Raises:
        DataError: files that cannot be read or decoded, by name.
    """
    if isinstance(dataset, ArrayDataset):
        return _from_array(dataset, transform, threads)
    if has_dali():
        return _by_dali(dataset, transform, device, threads)
    return _by_pillow(dataset, transform, threads)


def decoded_whole(dataset: ImageFiles, threads: int) -> Iterator[torch.Tensor]:
    """Every image once, in order, at its own size.

    Yields:
        uint8 [H, W, 3] in host memory.

    Raises:
        DataError: files that cannot be read or decoded, by name.
    """
    if has_dali():
        with DaliLoader(dataset, Whole(multiple=1), 1, Share(training=False), threads=threads) as loader:
            for batch in loader:
                yield batch.images[0]
        return
    for index in range(len(dataset)):
        image = _loaded(dataset, index, np.array)
        if isinstance(image, tuple):
            raise unreadable(["{}: {}".format(*image)])
        yield torch.from_numpy(image)


def has_dali() -> bool:
    """Whether NVIDIA DALI is installed."""
    return find_spec("nvidia") is not None and find_spec("nvidia.dali") is not None


def _by_dali(
    dataset: ImageFiles, transform: ResizeCenterCrop, device: torch.device, threads: int
) -> Iterator[torch.Tensor]:
    with DaliLoader(dataset, transform, _CHUNK, Share(training=False, device=device), threads=threads) as loader:
        for batch in loader:
            yield batch.images


def _by_pillow(dataset: ImageFiles, transform: ResizeCenterCrop, threads: int) -> Iterator[torch.Tensor]:
    def load(index: int) -> np.ndarray | tuple[str, str]:
        return _loaded(dataset, index, partial(fitted, transform=transform))

    for images in _in_chunks(load, len(dataset), threads):
        if bad_files := [f"{path}: {fault}" for path, fault in (image for image in images if isinstance(image, tuple))]:
            raise unreadable(bad_files)
        yield torch.from_numpy(np.stack(images))


def _from_array(dataset: ArrayDataset, transform: ResizeCenterCrop, threads: int) -> Iterator[torch.Tensor]:
    def load(index: int) -> np.ndarray:
        return fitted(Image.fromarray(dataset.images[index]), transform)

    if dataset.images.shape[1:3] == (transform.size, transform.size) and transform.resize in (None, transform.size):
        for first in range(0, len(dataset), _CHUNK):
            yield torch.from_numpy(np.ascontiguousarray(dataset.images[first : first + _CHUNK]))
        return
    for images in _in_chunks(load, len(dataset), threads):
        yield torch.from_numpy(np.stack(images))


def _in_chunks(load, count: int, threads: int):
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, count, _CHUNK):
            yield list(pool.map(load, range(first, min(first + _CHUNK, count))))


def _loaded(
    dataset: ImageFiles, index: int, convert: Callable[[Image.Image], np.ndarray]
) -> np.ndarray | tuple[str, str]:
    """An image by Pillow, or its name and what is wrong with it."""
    try:
        return convert(rgb(dataset.read(index), turned=not dataset.targets_in_pixels))
    except PILLOW_ERRORS as error:
        return shown(dataset.path(index)), fault_of(error)
