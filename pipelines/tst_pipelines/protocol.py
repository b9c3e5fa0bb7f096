"""The protocols of data sets and loaders, the batches that loaders give, and the error that they raise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch

from tst_pipelines.placement import Placement
from tst_pipelines.targets import Targets


class DataError(ValueError):
    """The data on disk or the arguments of a loader are wrong.

    Args:
        message: what is wrong, and what to do about it.
        options: names of arguments that would help, such as `download`; a program shows its own flags for them.
    """

    def __init__(self, message: str, *options: str) -> None:
        super().__init__(message)
        self.options = options


@runtime_checkable
class Dataset(Protocol):
    """Images and their targets, as loaders need them."""

    targets_in_pixels: ClassVar[bool]
    """Whether targets are label maps or boxes, which follow the pixels where a transform moves them."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        ...

    @property
    def fingerprint(self) -> str:
        """A short text that is the same for the same images and targets, and for no others."""
        ...

    def __len__(self) -> int:
        """Number of images, N."""
        ...

    def path(self, index: int) -> str:
        """The name of image `index` in messages: its file, where it has one."""
        ...

    def select(self, positions: np.ndarray) -> Dataset:
        """The images at these positions, of the same classes."""
        ...

    def targets(self, indices: np.ndarray, placement: Placement | None = None) -> Targets:
        """The targets of some images, in host memory; the receiver's own.

        Args:
            indices: int64 [B], their positions.
            placement: how a transform places these images, for targets that follow; None: they stay where they are.

        Raises:
            DataError: a target cannot be read or does not fit its image, by name.
        """
        ...


@dataclass(frozen=True, eq=False)
class Batch:
    """One rank's share of a step.

    Attributes:
        images: uint8 [B, H, W, 3], RGB, 0..255, contiguous, on the loader's device; the receiver's own.
        labels: on the loader's device, as are `boxes` and `sizes`: see `Targets`.
        indices: int64 [B] in host memory: positions in the data set, so that `dataset.path(i)` names an image.
        boxes: see `Targets`.
        sizes: see `Targets`.
    """

    images: torch.Tensor
    labels: torch.Tensor
    indices: np.ndarray
    boxes: torch.Tensor | None = None
    sizes: torch.Tensor | None = None

    @classmethod
    def of(cls, images: torch.Tensor, targets: Targets, indices: np.ndarray) -> Batch:
        """Images, on any device, and their targets, which follow them there."""
        targets = targets.to(images.device)
        return cls(images, targets.labels, indices, targets.boxes, targets.sizes)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def targets(self) -> Targets:
        """The targets of the images."""
        return Targets(self.labels, self.boxes, self.sizes)

    def split(self, parts: int) -> list[Batch]:
        """Consecutive parts whose sizes differ by one image at most; no part is empty."""
        parts = min(parts, len(self))
        pieces = self.images.tensor_split(parts), self.targets.tensor_split(parts), np.array_split(self.indices, parts)
        return [Batch.of(*piece) for piece in zip(*pieces, strict=True)]


@runtime_checkable
class Loader(Protocol):
    """An endless stream of epochs, which can be resumed from any position."""

    @property
    def dataset(self) -> Dataset:
        """The data set that is loaded."""
        ...

    @property
    def steps_per_epoch(self) -> int:
        """Batches that this rank gives in one epoch; 0 for a rank with no share of the images."""
        ...

    @property
    def epoch(self) -> int:
        """The current epoch, from 0."""
        ...

    @property
    def step(self) -> int:
        """Batches of the current epoch already given, 0 to `steps_per_epoch`."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """Give the rest of the current epoch, then move the position to the start of the next.

        The position counts a batch as soon as it is given, so a state taken while a batch is in hand resumes after it.
        An iteration left early resumes where it was left.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """The position (`epoch` and `step`) and what it is valid for, in plain Python values."""
        ...

    def load_state_dict(self, state: dict[str, Any], elastic: bool = False) -> None:
        """Move to the position of a `state_dict`.

        Args:
            state: what `state_dict` gave.
            elastic: accept another world size with the same global batch (see `Position.load_state_dict` in
                `tst_pipelines.position`).

        Raises:
            DataError: the state was made with other data, batch size, world size or seed; both values are shown.
        """
        ...

    def close(self) -> None:
        """Release threads and memory. Closing twice is allowed."""
        ...


def go_to_epoch(loader: Loader, epoch: int) -> None:
    """Move to the start of an epoch; one that is there already stays as it is, with what it has prefetched."""
    loader.load_state_dict({**loader.state_dict(), "epoch": epoch, "step": 0})


def skip_to_next_epoch(loader: Loader) -> None:
    """Skip the rest of the current epoch."""
    go_to_epoch(loader, loader.epoch + 1)
