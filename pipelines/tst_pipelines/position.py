"""The position of a loader in its stream of epochs, and iteration from there: shared by all loaders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch

from tst_pipelines.protocol import Batch, DataError, Dataset
from tst_pipelines.sampling import Sampler, Share

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's from Python 3.11

Loaded = TypeVar("Loaded", bound=Dataset)
"""What a loader loads."""

_VERSION = 2
# What a position is valid for, and its name in errors.
_BOUND = {
    "dataset": "data set",
    "training": "training flag",
    "batch_size": "batch size",
    "world_size": "world size",
    "seed": "seed",
}


class Position:
    """The epoch and step of a loader, and what they are valid for.

    Args:
        sampler: which images make this process's batches.
        dataset: what is loaded; its fingerprint is read when a state is made or loaded.

    Attributes:
        epoch: the current epoch, from 0.
        step: batches of the current epoch already given.
    """

    def __init__(self, sampler: Sampler, dataset: Dataset) -> None:
        self._sampler, self._dataset = sampler, dataset
        self.epoch = self.step = 0

    @property
    def steps(self) -> int:
        """Batches of this rank in one epoch."""
        return self._sampler.steps

    def advance(self) -> None:
        """Count a batch that was given."""
        self.step += 1

    def next_epoch(self) -> None:
        """Move to the start of the next epoch."""
        self.epoch, self.step = self.epoch + 1, 0

    def indices(self, ahead: int = 0) -> np.ndarray:
        """Positions in the data set of the batch that follows `ahead` others: int64 [B], the caller's own."""
        return self._sampler.indices(*self._after(ahead))

    def uniforms(self, numbers: int, ahead: int = 0) -> np.ndarray:
        """The uniform numbers in [0, 1) of that batch: float64 [B, numbers]."""
        return self._sampler.uniforms(*self._after(ahead), numbers)

    def _after(self, batches: int) -> tuple[int, int]:
        """Epoch and step after this many more batches."""
        epochs, step = divmod(self.step + batches, self.steps)
        return self.epoch + epochs, step

    def state_dict(self) -> dict[str, Any]:
        """The position and what it is valid for, in plain Python values."""
        return {"version": _VERSION, "epoch": self.epoch, "step": self.step, **self._bound()}

    def load_state_dict(self, state: dict[str, Any], elastic: bool = False) -> bool:
        """Move to the position of a `state_dict`.

        Args:
            state: what `state_dict` gave.
            elastic: in training, accept another world size if the global batch is the same: the same global batches
                follow.

        Returns:
            Whether the position changed.

        Raises:
            DataError: the state is of another version, or was made with other data, batch size, world size or seed.
        """
        if state.get("version") != _VERSION:
            raise DataError(f"the loader state has version {state.get('version')}; this loader reads {_VERSION}")
        self._require_same(state, elastic)
        before, after = (self.epoch, self.step), (state["epoch"], state["step"])
        if after[0] < 0 or not 0 <= after[1] <= self.steps:
            raise DataError(f"step must be 0 to {self.steps}, those of an epoch, got {after[1]} in epoch {after[0]}")
        self.epoch, self.step = after
        return before != after

    def _require_same(self, state: dict[str, Any], elastic: bool) -> None:
        """Refuse a state that this position cannot continue, with every value that differs."""
        ours = self._bound()
        changed = [key for key in _BOUND if state.get(key) != ours[key]]
        same_batches = self._sampler.share.training and self._same_global_batches(changed, state)
        if not changed or (elastic and same_batches):
            return
        values = "; ".join(f"{_BOUND[key]} {state.get(key)!r}, now {ours[key]!r}" for key in changed)
        message = f"the loader state was made with {values}: resume with what it was made with"
        if same_batches:
            raise DataError(f"{message} or elastically, as the global batch is the same", "elastic")
        raise DataError(message)

    def _same_global_batches(self, changed: Sequence[str], state: dict[str, Any]) -> bool:
        """Whether the same images are only shared out among another number of ranks."""
        if not {"world_size"} <= set(changed) <= {"world_size", "batch_size"}:
            return False
        return state["batch_size"] * state["world_size"] == self._sampler.global_batch_size

    def _bound(self) -> dict[str, Any]:
        share = self._sampler.share
        return {
            "dataset": self._dataset.fingerprint,
            "training": share.training,
            "batch_size": self._sampler.batch_size,
            "world_size": share.world_size,
            "seed": share.seed,
        }


class PositionedLoader(ABC, Generic[Loaded]):
    """Base of all loaders: position, iteration and state.

    Args:
        dataset: what is loaded.
        batch_size: images of a batch, for each rank.
        share: what this process takes of each epoch, and where to.

    Raises:
        DataError: the request does not fit the data (see `Sampler`).
    """

    def __init__(self, dataset: Loaded, batch_size: int, share: Share) -> None:
        self.dataset = dataset
        self.device = torch.device(share.device)
        self._batch_size = batch_size
        self._position = Position(Sampler(len(dataset), batch_size, share), dataset)

    @abstractmethod
    def _load(self) -> Batch:
        """The batch at the position."""

    @abstractmethod
    def close(self) -> None:
        """Release threads and memory. Closing twice is allowed; iterating again starts anew."""

    def _moved(self) -> None:  # most have nothing to do
        """The position jumped: what was prepared for the old one is of no use."""

    @property
    def steps_per_epoch(self) -> int:
        """See `Loader.steps_per_epoch`."""
        return self._position.steps

    @property
    def epoch(self) -> int:
        """The current epoch, from 0."""
        return self._position.epoch

    @property
    def step(self) -> int:
        """Batches of the current epoch already given."""
        return self._position.step

    def __iter__(self) -> Iterator[Batch]:
        """Give the rest of the current epoch, then move to the start of the next; see `Loader`.

        Raises:
            DataError: files that cannot be read or decoded, by name.
        """
        while self._position.step < self._position.steps:
            batch = self._load()
            self._position.advance()
            yield batch
        self._position.next_epoch()

    def state_dict(self) -> dict[str, Any]:
        """See `Position.state_dict`."""
        return self._position.state_dict()

    def load_state_dict(self, state: dict[str, Any], elastic: bool = False) -> None:
        """See `Position.load_state_dict`."""
        if self._position.load_state_dict(state, elastic):
            self._moved()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
