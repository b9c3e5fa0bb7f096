"""Where a loader is in its stream of epochs, and the iteration from there: one implementation for every loader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch

from tst_pipelines.protocol import Batch, DataError, Dataset
from tst_pipelines.sampling import Sampler, Share

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's from Python 3.11

Loaded = TypeVar("Loaded", bound=Dataset)
"""What a loader loads."""

_VERSION = 2
# What a position is only valid for, and how to call it in an error.
_BOUND = {
    "dataset": "data set",
    "training": "training flag",
    "batch_size": "batch size",
    "world_size": "world size",
    "seed": "seed",
}


class Position:
    """The epoch, the batches of it already given, and what both are bound to.

    Args:
        sampler: the images of this process's batches.
        dataset: what is loaded; its fingerprint is read when a state is made or loaded.

    Attributes:
        epoch: the current epoch, from 0.
        step: batches of the current epoch already given.
        offset: images of the current epoch, over all ranks, that were given before its step 0; above 0 only after an
            elastic restart with another global batch, and until the end of that epoch.
    """

    def __init__(self, sampler: Sampler, dataset: Dataset) -> None:
        self._sampler, self._dataset = sampler, dataset
        self.epoch = self.step = self.offset = 0

    @property
    def steps(self) -> int:
        """Batches of this rank in the current epoch."""
        return self._sampler.steps_after(self.offset)

    def advance(self) -> None:
        """A batch was given."""
        self.step += 1

    def next_epoch(self) -> None:
        """Move to the start of the next epoch."""
        self.epoch, self.step, self.offset = self.epoch + 1, 0, 0

    def ahead(self, batches: int = 0) -> tuple[int, int, int]:
        """Epoch, step and offset, as `Sampler.indices` takes them, of the batch due after this many others."""
        step = self.step + batches
        if step < self.steps:
            return self.epoch, step, self.offset
        epochs, step = divmod(step - self.steps, self._sampler.steps)
        return self.epoch + 1 + epochs, step, 0

    def state_dict(self) -> dict[str, Any]:
        """The position and what it is only valid for, in plain Python values."""
        return {"version": _VERSION, "epoch": self.epoch, "step": self.step, "offset": self.offset, **self._bound()}

    def load_state_dict(self, state: dict[str, Any], elastic: bool = False) -> bool:
        """Move to the position of a `state_dict`.

        Args:
            state: what `state_dict` gave.
            elastic: accept another world size. If the global batch is the same, the same global batches follow; if the
                batch of each rank is, the epoch goes on after the images that were given, none twice and none left out
                but the epoch's remainder.

        Returns:
            Whether the position is another one than before.

        Raises:
            DataError: the state is of another version, or was made with other data, batch size, world size or seed.
        """
        if state.get("version") != _VERSION:
            raise DataError(f"the loader state has version {state.get('version')}; this loader reads {_VERSION}")
        self._require_same(state, elastic)
        epoch, step, offset = state["epoch"], state["step"], state["offset"]
        theirs = state["batch_size"] * state["world_size"]
        if theirs != self._sampler.global_batch_size:  # only the elastic restart gets here
            step, offset = 0, offset + step * theirs
        if epoch < 0 or offset < 0 or not 0 <= step <= self._sampler.steps_after(offset):
            raise DataError(f"no step {step} in epoch {epoch}: an epoch has {self._sampler.steps_after(offset)} steps")
        before = self.epoch, self.step, self.offset
        self.epoch, self.step, self.offset = epoch, step, offset
        return before != (epoch, step, offset)

    def _require_same(self, state: dict[str, Any], elastic: bool) -> None:
        """Refuse a state that this position cannot continue, with every value that differs."""
        ours = self._bound()
        changed = {key for key in _BOUND if state.get(key) != ours[key]}
        only_world = self._only_world_changed(changed, state)
        if not changed or (elastic and only_world):
            return
        values = "; ".join(
            f"{name} {state.get(key)!r}, now {ours[key]!r}" for key, name in _BOUND.items() if key in changed
        )
        message = f"the loader state was made with {values}: resume with what it was made with"
        if only_world:
            raise DataError(f"{message} or elastically, as the world alone changed", "elastic")
        raise DataError(message)

    def _only_world_changed(self, changed: set[str], state: dict[str, Any]) -> bool:
        """Whether an elastic restart can go on: the batch of each rank may have changed if the global one did not."""
        if "world_size" not in changed or changed - {"world_size", "batch_size"}:
            return False
        if "batch_size" in changed and state["batch_size"] * state["world_size"] != self._sampler.global_batch_size:
            return False
        # In evaluation each rank is somewhere else in its share, so only the start of an epoch is common to all.
        return self._sampler.share.training or state["step"] == 0

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
    """What every loader has: a position, the iteration from it, and its state.

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
        self._sampler = Sampler(len(dataset), batch_size, share)
        self._position = Position(self._sampler, dataset)

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
        return self._sampler.steps

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
