"""Data sets in memory."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch

from tst_pipelines.datasets.files import fingerprint_of
from tst_pipelines.datasets.labels import require_labels
from tst_pipelines.placement import Placement
from tst_pipelines.protocol import DataError
from tst_pipelines.targets import Targets


@dataclass(frozen=True, eq=False)
class ArrayDataset:
    """Labelled images of one size, without files.

    Attributes:
        images: uint8 [N, H, W, 3], RGB.
        labels: int64 [N], positions in `classes`.
        classes: names of the classes.
        name: what to call the set in messages, such as `cifar-10/train`.

    Raises:
        DataError: arrays of another type or shape, or a label outside `classes`.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    name: str

    targets_in_pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        shape, kind = self.images.shape, self.images.dtype
        if len(shape) != 4 or shape[3] != 3 or kind != np.uint8:
            raise DataError(f"{self.name}: images must be uint8 [N, H, W, 3], got {kind} {list(shape)}")
        require_labels(self.labels, shape[0], self.classes, self.name)

    def __len__(self) -> int:
        return len(self.images)

    def path(self, index: int) -> str:
        """The name of image `index` in messages."""
        return f"{self.name} image {index}"

    def select(self, positions: np.ndarray) -> ArrayDataset:
        """The images at these positions, of the same classes."""
        return dataclasses.replace(self, images=self.images[positions], labels=self.labels[positions])

    def targets(self, indices: np.ndarray, placement: Placement | None = None) -> Targets:
        """See `Dataset.targets`."""
        return Targets(torch.from_numpy(self.labels[indices]))

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits made of classes, labels and pixels."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:  # pyright does not accept a cached property for a protocol's
        return fingerprint_of(self.classes, self.labels.astype("<i8"), np.ascontiguousarray(self.images))
