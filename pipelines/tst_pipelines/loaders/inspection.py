"""Checks of every file of a data set, before a run reads them."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

from PIL import Image

from tst_pipelines.datasets.coco import box_faults
from tst_pipelines.datasets.detections import DetectionDataset
from tst_pipelines.datasets.files import ImageDataset, ImageFiles
from tst_pipelines.datasets.pairs import PairDataset
from tst_pipelines.loaders.pillow import stored_size
from tst_pipelines.loaders.probe import Probe, images_below
from tst_pipelines.protocol import DataError

Files = TypeVar("Files", bound=ImageFiles)


@dataclass(frozen=True)
class Fault:
    """Something wrong with a data set.

    Attributes:
        name: the file, relative to the folder of all files.
        what: what is wrong with it, in short.
        image: the image to leave out because of it; None if leaving out an image does not help.
    """

    name: str
    what: str
    image: str | None


@dataclass(frozen=True)
class Inspection:
    """Checks to run.

    Attributes:
        count: number of images.
        look: the faults of image i, 0 to `count` - 1. Threads may call it, each with a `Probe` of its own.
        known: faults that were found without opening an image.
    """

    count: int
    look: Callable[[int, Probe], list[Fault]]
    known: Sequence[Fault] = ()


def inspect_images(root: str | Path) -> Inspection:
    """All images and shards in a folder, whatever its layout.

    Raises:
        DataError: see `images_below`.
    """
    datasets, bad_shards = images_below(root)

    def look(dataset: ImageDataset, index: int, probe: Probe) -> list[Fault]:
        name, what = dataset.files[index], probe.fault(dataset, index, strict=True)
        return [Fault(name, what, name)] if what else []

    return _inspection(datasets, look, [Fault(name, what, None) for name, what in bad_shards.items()])


def inspect_pairs(root: str | Path, splits: Sequence[PairDataset]) -> Inspection:
    """Images with label maps: whether both can be read, have the same size, and labels are classes or ignored.

    Args:
        root: the folder that all names are to be relative to.
        splits: pairs, of `image_pairs(complete=False)`, whose files without counterpart are faults.
    """

    def look(split: PairDataset, index: int, probe: Probe) -> list[Fault]:
        image, label_map = split.path(index), split.label_path(index)
        found = [(image, probe.fault(split, index, strict=True)), (label_map, _label_map_fault(split, index))]
        if not any(what for _, what in found):
            found = [(label_map, _size_fault(split, index))]
        name = os.path.relpath(image, root)
        return [Fault(os.path.relpath(path, root), what, name) for path, what in found if what]

    unpaired = [
        Fault(os.path.relpath(path, root), "has no counterpart", None) for split in splits for path in split.unpaired
    ]
    return _inspection(splits, look, unpaired)


def inspect_boxes(
    root: str | Path, splits: Sequence[DetectionDataset], annotations: Sequence[str | Path] = ()
) -> Inspection:
    """Images with boxes: whether each image can be read and has the annotated size; and invalid boxes.

    Args:
        root: the folder that all names are to be relative to.
        splits: images with boxes.
        annotations: their files in COCO's format, whose boxes are checked, see `box_faults`.
    """

    def look(split: DetectionDataset, index: int, probe: Probe) -> list[Fault]:
        name = os.path.relpath(split.path(index), root)
        what = probe.fault(split, index, strict=True) or _annotated_size_fault(split, index)
        return [Fault(name, what, name)] if what else []

    known = [Fault(os.path.relpath(file, root), what, None) for file in annotations for what in box_faults(file)]
    return _inspection(splits, look, known)


def _inspection(
    datasets: Sequence[Files], look: Callable[[Files, int, Probe], list[Fault]], known: Sequence[Fault]
) -> Inspection:
    """An inspection of every image of several data sets, one after the other."""
    ends = list(accumulate(map(len, datasets)))

    def look_at(number: int, probe: Probe) -> list[Fault]:
        at = bisect_right(ends, number)
        return look(datasets[at], number - (ends[at - 1] if at else 0), probe)

    return Inspection(ends[-1] if ends else 0, look_at, known)


def _annotated_size_fault(split: DetectionDataset, index: int) -> str | None:
    """Of an image that can be read."""
    height, width = split.shapes[index].tolist()
    with Image.open(split.path(index)) as image:
        if (size := stored_size(image)) != (width, height):
            return f"has {size[0]} x {size[1]} pixels, but {width} x {height} in the annotations"
    return None


def _label_map_fault(split: PairDataset, index: int) -> str | None:
    try:
        split.label_map(index)
    except DataError as error:
        return str(error).removeprefix(split.label_path(index)).lstrip(": ")
    return None


def _size_fault(split: PairDataset, index: int) -> str | None:
    """Of two files that can be read."""
    height, width = split.label_shape(index)
    with Image.open(split.path(index)) as image:
        if (size := stored_size(image)) != (width, height):
            return f"has {width} x {height} pixels, and its image {size[0]} x {size[1]}"
    return None
