"""Images and label maps: pairs of files in two folders."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from tst_pipelines.datasets.files import ImageFiles, shortened
from tst_pipelines.datasets.folders import is_image, names_below
from tst_pipelines.datasets.label_maps import IGNORED, label_map_shape, read_label_map
from tst_pipelines.datasets.names import Names
from tst_pipelines.placement import Placement
from tst_pipelines.protocol import DataError
from tst_pipelines.targets import Targets

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's from Python 3.11

_REFUSED = 254  # in `ids`: the file's value is neither a class nor to be ignored


@dataclass(frozen=True, eq=False)
class PairDataset(ImageFiles):
    """Image files with a label map each.

    Attributes:
        root: the folder of the images.
        files: names relative to `root`; kept packed, as `Names`.
        label_root: the folder of the label maps.
        label_files: names relative to `label_root`, one for each image.
        classes: names of the classes; 254 at most.
        ids: uint8 [256], for each value in a label map's file its class, 255 if it is to be ignored, or 254 if it must
            not occur.
        unpaired: full names of the files without counterpart, which were left out.
    """

    root: Path
    files: Sequence[str]
    label_root: Path
    label_files: Sequence[str]
    classes: tuple[str, ...]
    ids: np.ndarray
    unpaired: Sequence[str] = ()

    targets_in_pixels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", Names.of(self.files))
        object.__setattr__(self, "label_files", Names.of(self.label_files))

    def label_path(self, index: int) -> str:
        """Where the label map of image `index` is."""
        return os.path.join(self.label_root, self.label_files[index])

    @property
    def location_count(self) -> int:
        """The images, and as many label maps."""
        return 2 * len(self)

    def location(self, position: int) -> str:
        """An image, or its label map after it."""
        index, labels = divmod(position, 2)
        return self.label_path(index) if labels else self.path(index)

    def label_map(self, index: int) -> np.ndarray:
        """The label map of image `index`: uint8 [H, W], class numbers, or 255 to be ignored.

        Raises:
            DataError: as `read_label_map`, or a value is neither a class nor to be ignored.
        """
        values = read_label_map(self.label_path(index))
        labels = np.frombuffer(values.tobytes().translate(self.ids.tobytes()), np.uint8).reshape(values.shape)
        if (labels == _REFUSED).any():
            row, column = np.argwhere(labels == _REFUSED)[0].tolist()
            raise DataError(
                f"{self.label_path(index)} holds {values[row, column]} at row {row}, column {column}, but there are "
                f"{len(self.classes)} classes (0 to {len(self.classes) - 1}, and {IGNORED}, which is ignored): say "
                "which class it is, or that it is to be ignored",
                "ids",
                "ignored",
            )
        return labels

    def label_shape(self, index: int) -> tuple[int, int]:
        """Height and width of a label map, from its header. See `label_map_shape`."""
        return label_map_shape(self.label_path(index))

    def placed(self, labels: np.ndarray, index: int, placement: Placement, row: int) -> np.ndarray:
        """A label map as a transform places its image: uint8 [canvas height, canvas width], 255 beside it.

        Args:
            labels: of image `index`, as `label_map` gives it.
            index: the image's position in the data set.
            placement: of its batch.
            row: its position in the batch.

        Raises:
            DataError: the label map is not of the image's size.
        """
        whole = placement.whole[row].tolist()
        if list(labels.shape) != whole:
            height, width = labels.shape
            raise DataError(
                f"{self.path(index)} has {whole[1]} x {whole[0]} pixels, but its label map {self.label_path(index)} "
                f"has {width} x {height}"
            )
        return placement.label_map(labels, row, IGNORED)

    def targets(self, indices: np.ndarray, placement: Placement | None = None) -> Targets:
        """See `Dataset.targets`; without a placement, the label maps must be of one size."""
        maps = [self.label_map(index) for index in indices.tolist()]
        if placement is not None:
            maps = [self.placed(labels, indices[row], placement, row) for row, labels in enumerate(maps)]
        return Targets(torch.from_numpy(np.stack(maps)))

    def select(self, positions: np.ndarray) -> Self:
        """The pairs at these positions, of the same classes."""
        files, label_files = (Names.of(names).select(positions) for names in (self.files, self.label_files))
        return dataclasses.replace(self, files=files, label_files=label_files)

    def _content(self) -> Sequence[bytes | np.ndarray]:
        return Names.of(self.files).block, Names.of(self.label_files).block, self.ids


def image_pairs(
    images: str | Path,
    labels: str | Path,
    classes: Sequence[str],
    *,
    ids: Mapping[int, int] | None = None,
    ignored: Sequence[int] = (),
    image_suffix: str = "",
    label_suffix: str = "",
    complete: bool = True,
) -> PairDataset:
    """Pair the images in one folder with the label maps in another, however deep, by their names without extensions.

    CamVid as SegNet lays it out, with eleven classes and 11 for void:
    `image_pairs(root / "train", root / "trainannot", classes, ignored=[11])`.

    Args:
        images: the folder of the images.
        labels: the folder of the label maps, PNG files (see `label_maps.read_label_map`).
        classes: names of the classes.
        ids: the class of each value in a label map's file; all others are ignored. Without, a value is its class's
            number, and any that is neither a class nor ignored is refused when it is met.
        ignored: values to be ignored, beside 255.
        image_suffix: what the names of images end with before their extensions; files without it are passed over, and
            it does not count in the comparison.
        label_suffix: the same for label maps.
        complete: whether a file without counterpart is refused; if not, it is left out and listed in `unpaired`.

    Returns:
        The data set, sorted by name.

    Raises:
        DataError: a folder is missing or empty, a file has no counterpart (see `complete`) or two, or classes or ids
            are out of range.
    """
    sides = [(Path(images), image_suffix), (Path(labels), label_suffix)]
    found = [_by_key(root, suffix) for root, suffix in sides]
    without: list[str] = []
    for (here, own), (there, other) in (zip(found, sides, strict=True), zip(found[::-1], sides[::-1], strict=True)):
        alone = sorted(here.keys() - there.keys())
        without += [os.path.join(own[0], here[key]) for key in alone]
        if alone and complete:
            raise DataError(
                f"{len(alone)} of {len(here)} images in {own[0]} (names ending in {own[1]!r}) have no counterpart in "
                f"{other[0]} (names ending in {other[1]!r}): {shortened([here[key] for key in alone])}"
            )
    files, label_files = ([names[key] for key in sorted(found[0].keys() & found[1].keys())] for names in found)
    table = _ids(len(classes), ids, ignored)
    return PairDataset(Path(images), files, Path(labels), label_files, tuple(classes), table, tuple(without))


def _by_key(root: Path, suffix: str) -> dict[str, str]:
    """The images below a folder that have the suffix, by their names without suffix and extension."""
    found: dict[str, str] = {}
    for name in filter(is_image, names_below(root)):
        stem = os.path.splitext(name)[0]
        if not stem.endswith(suffix):
            continue
        key = stem.removesuffix(suffix)
        if key in found:
            raise DataError(f"{root} holds both {found[key]} and {name}: leave one of them out")
        found[key] = name
    if not found:
        raise DataError(f"{root} holds no images with names ending in {suffix!r} before the extension")
    return found


def _ids(classes: int, given: Mapping[int, int] | None, ignored: Sequence[int]) -> np.ndarray:
    """What `PairDataset.ids` holds."""
    if not 1 <= classes <= _REFUSED:
        raise DataError(f"label maps of 8 bits must have 1 to {_REFUSED} classes, got {classes}")
    table = {**{value: value for value in range(classes)}, IGNORED: IGNORED} if given is None else dict(given)
    table |= dict.fromkeys(ignored, IGNORED)
    for value, label in table.items():
        if not 0 <= value <= 255 or not (0 <= label < classes or label == IGNORED):
            raise DataError(
                f"ids: {value} for class {label}: values are 0 to 255, classes 0 to {classes - 1}, or {IGNORED} for "
                "what is ignored",
                "ids",
            )
    ids = np.full(256, _REFUSED if given is None else IGNORED, np.uint8)
    ids[list(table)] = list(table.values())
    return ids
