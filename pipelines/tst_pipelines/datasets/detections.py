"""Images with boxes around their objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from tst_pipelines.datasets.files import ImageFiles
from tst_pipelines.datasets.names import Names
from tst_pipelines.placement import Placement
from tst_pipelines.protocol import DataError
from tst_pipelines.targets import Targets

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's from Python 3.11


@dataclass(frozen=True, eq=False)
class DetectionDataset(ImageFiles):
    """Image files, the objects in each, and where they are. Objects are kept packed, image after image.

    Attributes:
        root: the folder.
        files: names relative to `root`; kept packed, as `Names`.
        classes: names of the classes.
        category_ids: int64 [len(classes)], their numbers in the annotations.
        image_ids: int64 [len(files)], numbers of the images in the annotations.
        shapes: int32 [len(files), 2], height and width of the images, in the pixels of the file.
        offsets: int64 [len(files) + 1], where the objects of each image begin among all of them.
        boxes: float32 [objects, 4], left, top, right and bottom in pixels, inside the image.
        labels: int64 [objects], positions in `classes`.
        crowd: bool [objects], whether a box holds many objects: evaluated as COCO does, not learned from.
        areas: float32 [objects], the area that COCO's evaluation sorts objects by, in pixels.
    """

    root: Path
    files: Sequence[str]
    classes: tuple[str, ...]
    category_ids: np.ndarray
    image_ids: np.ndarray
    shapes: np.ndarray
    offsets: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray

    targets_in_pixels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", Names.of(self.files))

    def objects(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The objects of some images.

        Returns:
            int64 [O] each: positions among all objects, and in `indices`, image after image.
        """
        first, last = self.offsets[indices], self.offsets[indices + 1]
        rows = np.repeat(np.arange(len(indices)), last - first)
        begins = np.cumsum(last - first) - (last - first)
        return np.arange(len(rows)) - begins[rows] + first[rows], rows

    def targets(self, indices: np.ndarray, placement: Placement | None = None) -> Targets:
        """Boxes and labels of what is to be learned, see `Dataset.targets` and `Placement.boxes`; no crowds.

        Raises:
            DataError: an image is not of the size that the annotations say.
        """
        positions, rows = self.objects(indices)
        kept = ~self.crowd[positions]
        positions, rows = positions[kept], rows[kept]
        boxes, sizes = self.boxes[positions].astype(np.float64), self.shapes[indices]
        if placement is not None:
            self._require_shapes(indices, placement)
            boxes, kept = placement.boxes(boxes, rows)
            positions, rows, boxes, sizes = positions[kept], rows[kept], boxes[kept], placement.size
        return _padded(self.labels[positions], boxes, rows, sizes)

    def select(self, positions: np.ndarray) -> Self:
        """The images at these positions, of the same classes."""
        objects, _ = self.objects(positions)
        counts = np.diff(self.offsets)[positions]
        return dataclasses.replace(
            self,
            files=Names.of(self.files).select(positions),
            image_ids=self.image_ids[positions],
            shapes=self.shapes[positions],
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            boxes=self.boxes[objects],
            labels=self.labels[objects],
            crowd=self.crowd[objects],
            areas=self.areas[objects],
        )

    def _content(self) -> Sequence[bytes | np.ndarray]:
        arrays = (self.offsets, "<i8"), (self.boxes, "<f4"), (self.labels, "<i8"), (self.crowd, "?")
        return [Names.of(self.files).block, *(array.astype(kind) for array, kind in arrays)]

    def _require_shapes(self, indices: np.ndarray, placement: Placement) -> None:
        wrong = (self.shapes[indices] != placement.whole).any(1)
        if wrong.any():
            row = int(wrong.argmax())
            (height, width), (said_height, said_width) = placement.whole[row], self.shapes[indices[row]]
            raise DataError(
                f"{self.path(indices[row])} has {width} x {height} pixels, but {said_width} x {said_height} in the "
                "annotations (EXIF's orientation is not applied)"
            )


def _padded(labels: np.ndarray, boxes: np.ndarray, rows: np.ndarray, sizes: np.ndarray) -> Targets:
    """One row of objects for each image, padded to a power of two: few shapes to compile for."""
    count = len(sizes)
    columns = np.arange(len(rows)) - np.searchsorted(rows, np.arange(count))[rows]
    most = max(int(columns.max(initial=0)) + 1, 1)
    width = 1 << (most - 1).bit_length()
    padded_labels, padded_boxes = np.full((count, width), -1, np.int64), np.zeros((count, width, 4), np.float32)
    padded_labels[rows, columns], padded_boxes[rows, columns] = labels, boxes
    arrays = {"labels": padded_labels, "boxes": padded_boxes, "sizes": np.ascontiguousarray(sizes, np.int32)}
    return Targets(**{name: torch.from_numpy(array) for name, array in arrays.items()})
