"""What can be wrong with a data set's files, looked at one by one before a run reads them."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from PIL import Image

from tst_pipelines.datasets.coco import box_faults
from tst_pipelines.datasets.detections import DetectionDataset
from tst_pipelines.datasets.files import ImageFiles
from tst_pipelines.datasets.pairs import PairDataset
from tst_pipelines.loaders.pillow import stored_size
from tst_pipelines.loaders.probe import Probe, image_fault, images_below
from tst_pipelines.protocol import DataError


@dataclass(frozen=True)
class Fault:
    """Something wrong.

    Attributes:
        name: of the file, relative to the folder of all files.
        what: is wrong with it, in short.
        image: the image that has to be left out for it; None if leaving an image out does not help.
    """

    name: str
    what: str
    image: str | None


@dataclass(frozen=True)
class Inspection:
    """Files to look at.

    Attributes:
        count: how many times `look` can be asked.
        look: the faults of number i, 0 to `count` - 1. Threads may call it, each with a `Probe` of its own.
        known: faults that show without opening a file.
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
    ends = list(accumulate(len(dataset) for dataset in datasets))

    def look(number: int, probe: Probe) -> list[Fault]:
        at = bisect_right(ends, number)
        dataset, index = datasets[at], number - (ends[at - 1] if at else 0)
        name = dataset.files[index]
        try:
            what = image_fault(dataset, index, probe)
        except OSError as error:  # between two reads
            what = (error.strerror or str(error)).lower()
        return [Fault(name, what, name)] if what else []

    known = [Fault(name, what, None) for name, what in bad_shards.items()]
    return Inspection(ends[-1] if ends else 0, look, known)


def inspect_pairs(root: str | Path, splits: Sequence[PairDataset]) -> Inspection:
    """Images with label maps: whether both can be read, are of one size, and hold no numbers but classes.

    Args:
        root: the folder that all names are to be relative to.
        splits: pairs, of `image_pairs(complete=False)`, whose files without counterpart are faults.
    """
    ends = list(accumulate(len(split) for split in splits))

    def look(number: int, probe: Probe) -> list[Fault]:
        at = bisect_right(ends, number)
        split, index = splits[at], number - (ends[at - 1] if at else 0)
        image, label_map = split.path(index), split.label_path(index)
        found = [(image, _image_fault(split, index, probe)), (label_map, _label_map_fault(split, index))]
        if not any(what for _, what in found):
            found = [(label_map, _size_fault(split, index))]
        name = os.path.relpath(image, root)
        return [Fault(os.path.relpath(path, root), what, name) for path, what in found if what]

    alone = [Fault(os.path.relpath(path, root), "has no counterpart", None) for split in splits for path in split.alone]
    return Inspection(ends[-1] if ends else 0, look, alone)


def inspect_boxes(
    root: str | Path, splits: Sequence[DetectionDataset], annotations: Sequence[str | Path] = ()
) -> Inspection:
    """Images with boxes: whether each can be read and has the size that is said of it; and boxes that are none.

    Args:
        root: the folder that all names are to be relative to.
        splits: images with boxes.
        annotations: their files in COCO's format, whose boxes are looked at, see `box_faults`.
    """
    ends = list(accumulate(len(split) for split in splits))

    def look(number: int, probe: Probe) -> list[Fault]:
        at = bisect_right(ends, number)
        split, index = splits[at], number - (ends[at - 1] if at else 0)
        name = os.path.relpath(split.path(index), root)
        what = _image_fault(split, index, probe) or _said_size_fault(split, index)
        return [Fault(name, what, name)] if what else []

    known = [Fault(os.path.relpath(file, root), what, None) for file in annotations for what in box_faults(file)]
    return Inspection(ends[-1] if ends else 0, look, known)


def _said_size_fault(split: DetectionDataset, index: int) -> str | None:
    """Of an image that can be read."""
    height, width = split.shapes[index].tolist()
    with Image.open(split.path(index)) as image:
        if (size := stored_size(image)) != (width, height):
            return f"has {size[0]} x {size[1]} pixels, but {width} x {height} in the annotations"
    return None


def _image_fault(split: ImageFiles, index: int, probe: Probe) -> str | None:
    try:
        return image_fault(split, index, probe)
    except OSError as error:  # between two reads
        return (error.strerror or str(error)).lower()


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
