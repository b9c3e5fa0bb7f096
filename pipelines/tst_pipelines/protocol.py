"""What every loader gives, and the one error that they raise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from tst_pipelines.targets import Targets


class DataError(ValueError):
    """Something is wrong with the data on disk, or with what a loader was asked for."""


@runtime_checkable
class Dataset(Protocol):
    """Labelled images, wherever they are: what a loader asks of them.

    Attributes:
        labels: int64 [N], positions in `classes`.
        classes: names of the classes.
    """

    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        """Number of images, N."""
        ...

    def path(self, index: int) -> str:
        """What to call image `index` in a message: its file, where it has one."""
        ...

    def select(self, positions: np.ndarray) -> Dataset:
        """The images at these positions, of the same classes."""
        ...

    @property
    def fingerprint(self) -> str:
        """A short text that is the same for the same images and labels, and for no others."""
        ...


@dataclass(frozen=True, eq=False)
class Batch:
    """One rank's share of a step.

    Attributes:
        images: uint8 [B, H, W, 3], RGB, 0..255, contiguous, on the loader's device; the receiver's own.
        labels: on the loader's device, see `Targets`; int64 [B] for recognition.
        indices: int64 [B] in host memory: positions in the data set, so that `dataset.path(i)` names an image.
        boxes: see `Targets`.
        sizes: see `Targets`.
    """

    images: torch.Tensor
    labels: torch.Tensor
    indices: np.ndarray
    boxes: torch.Tensor | None = None
    sizes: torch.Tensor | None = None

    @property
    def targets(self) -> Targets:
        """What is asked of a network about the images."""
        return Targets(self.labels, self.boxes, self.sizes)

    def __len__(self) -> int:
        return len(self.indices)

    def split(self, parts: int) -> list[Batch]:
        """Consecutive parts whose sizes differ by one image at most; no part is empty."""
        parts = min(parts, len(self))
        fields = (self.images, self.labels, self.indices, self.boxes, self.sizes)
        pieces = [_split(values, parts) for values in fields]
        return [Batch(*piece) for piece in zip(*pieces, strict=True)]


def _split(values: torch.Tensor | np.ndarray | None, parts: int) -> Sequence[Any]:
    if values is None:
        return [None] * parts
    return np.array_split(values, parts) if isinstance(values, np.ndarray) else values.tensor_split(parts)


@runtime_checkable
class Loader(Protocol):
    """An endless stream of epochs that knows its position.

    Attributes:
        dataset: what is loaded.
        steps_per_epoch: batches that this rank gives in one epoch; 0 for a rank with no share of the images. Only the
            epoch of an elastic restart with another global batch may have fewer.
        epoch: the current epoch, from 0.
        step: batches of the current epoch already given, 0 to `steps_per_epoch`.
    """

    dataset: Dataset
    steps_per_epoch: int
    epoch: int
    step: int

    def __iter__(self) -> Iterator[Batch]:
        """Give the rest of the current epoch, then move the position to the start of the next.

        The position counts a batch as soon as it is given, so a state taken while a batch is in hand resumes after it.
        An iteration left early resumes where it was left.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """The position, `epoch` and `step`, and what it is only valid for, in plain Python values."""
        ...

    def load_state_dict(self, state: dict[str, Any], elastic: bool = False) -> None:
        """Move to the position of a `state_dict`.

        Args:
            state: what `state_dict` gave.
            elastic: accept that the world size changed (see `tst_pipelines.position.Position.load_state_dict`).

        Raises:
            DataError: the state was made with other data, batch size, world size or seed; both values are shown.
        """
        ...

    def close(self) -> None:
        """Release threads and memory. Closing twice is allowed."""
        ...


def go_to_epoch(loader: Loader, epoch: int) -> None:
    """Move to the start of an epoch; one that is there already stays as it is, with what it has prefetched."""
    if (loader.epoch, loader.step) != (epoch, 0):
        loader.load_state_dict({**loader.state_dict(), "epoch": epoch, "step": 0, "offset": 0})


def skip_to_next_epoch(loader: Loader) -> None:
    """Leave out the rest of the current epoch."""
    loader.load_state_dict({**loader.state_dict(), "epoch": loader.epoch + 1, "step": 0, "offset": 0})
