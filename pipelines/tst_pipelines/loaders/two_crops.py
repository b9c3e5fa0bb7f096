"""Two batches in one: as many images in a step as a batch and its augmented copy have, none of them augmented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from tst_pipelines.protocol import Batch, Dataset, Loader
from tst_pipelines.targets import Targets


class TwoCrops:
    """A `Loader` whose batches are those of one loader, each followed by a batch of another.

    Its position is the first's; the second is moved there when iteration begins.

    Args:
        first: of the images.
        second: of the same images with another seed, so that order and crops are others; closed with this.
    """

    def __init__(self, first: Loader, second: Loader) -> None:
        self.first, self.second = first, second
        self.dataset: Dataset = first.dataset
        self.steps_per_epoch = first.steps_per_epoch

    @property
    def epoch(self) -> int:
        """The first loader's."""
        return self.first.epoch

    @property
    def step(self) -> int:
        """The first loader's."""
        return self.first.step

    def __iter__(self) -> Iterator[Batch]:
        """See `Loader`."""
        where = {key: self.first.state_dict()[key] for key in ("epoch", "step")}
        self.second.load_state_dict({**self.second.state_dict(), **where})
        for one, other in zip(self.first, self.second, strict=True):
            targets = Targets.cat([one.targets, other.targets])
            indices = np.concatenate([one.indices, other.indices])
            yield Batch.of(torch.cat([one.images, other.images]), targets, indices)

    def state_dict(self) -> dict[str, Any]:
        """The first loader's."""
        return self.first.state_dict()

    def load_state_dict(self, state: dict[str, Any], elastic: bool = False) -> None:
        """Move the first loader; the second follows when batches are asked for."""
        self.first.load_state_dict(state, elastic)

    def close(self) -> None:
        """Close the second; the first is another's to close."""
        self.second.close()
