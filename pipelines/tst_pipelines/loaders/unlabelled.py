"""Batches of the images in any folder, without targets; those that cannot be read are reported and left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from tst_pipelines.datasets.files import read_bytes
from tst_pipelines.datasets.folders import is_image, names_below
from tst_pipelines.loaders.pillow import PILLOW_ERRORS, fault_of, fitted, rgb
from tst_pipelines.loaders.resizing import BatchResizer
from tst_pipelines.placement import Placement
from tst_pipelines.protocol import DataError
from tst_pipelines.transforms import FitAndPad, ResizeCenterCrop, Whole


@dataclass(frozen=True, eq=False)
class UnlabelledBatch:
    """A batch of images without targets.

    Attributes:
        files: their names, relative to the folder.
        images: uint8 [B, H, W, 3], in host memory.
        placement: where each lies in its canvas; None of images that were cropped.
    """

    files: Sequence[str]
    images: torch.Tensor
    placement: Placement | None


def images_at(path: str | Path) -> tuple[Path, list[str]]:
    """A folder, and the sorted names of the images in it, however deep; of a file, its folder and its name.

    Raises:
        DataError: there is neither, the folder cannot be read, or holds no images.
    """
    path = Path(path)
    if path.is_file():
        return path.parent, [path.name]
    if not (found := list(filter(is_image, names_below(path)))):
        raise DataError(f"{path} holds no images")
    return path, found


def unlabelled_batches(
    root: Path,
    files: Sequence[str],
    transform: ResizeCenterCrop | Whole | FitAndPad,
    batch_size: int,
    *,
    threads: int = 2,
    report: Callable[[str, str], None],
) -> Iterator[UnlabelledBatch]:
    """Decode image files by Pillow and transform them, in order.

    Turned as EXIF says where the loaders turn them: not where targets would lie in the file's own pixels.

    Args:
        root: the folder.
        files: names relative to it.
        transform: what to do to each image.
        batch_size: images of a batch, at most; one for `Whole` holds images of one size.
        threads: how many decode.
        report: told the name of an image that cannot be read, and what is wrong with it.
    """

    def load(name: str) -> np.ndarray | str:
        try:
            image = rgb(read_bytes(os.path.join(root, name)), turned=isinstance(transform, ResizeCenterCrop))
            return fitted(image, transform) if isinstance(transform, ResizeCenterCrop) else np.array(image)
        except PILLOW_ERRORS as error:
            return fault_of(error)

    with ThreadPoolExecutor(threads) as pool, closing(BatchResizer(threads)) as resizer:
        for first in range(0, len(files), batch_size):
            some = files[first : first + batch_size]
            decoded: list[tuple[str, np.ndarray]] = []
            for name, image in zip(some, pool.map(load, some), strict=True):
                if isinstance(image, str):
                    report(name, image)
                else:
                    decoded.append((name, image))
            for _, group in groupby(decoded, lambda one: one[1].shape if isinstance(transform, Whole) else None):
                names, images = zip(*group, strict=True)
                yield _batch(names, images, transform, resizer)


def _batch(
    names: Sequence[str],
    images: Sequence[np.ndarray],
    transform: ResizeCenterCrop | Whole | FitAndPad,
    resizer: BatchResizer,
) -> UnlabelledBatch:
    if isinstance(transform, ResizeCenterCrop):
        return UnlabelledBatch(names, torch.from_numpy(np.stack(images)), None)
    placement = transform.place(np.array([image.shape for image in images]))
    return UnlabelledBatch(names, resizer([torch.from_numpy(image) for image in images], placement), placement)
