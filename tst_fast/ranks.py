"""What all ranks hold together."""

from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

import torch
from torch import Tensor


class Ranks(Protocol):
    """What of an `Accelerator` the method asks for: so that it also runs in a loop that has none."""

    @property
    def device(self) -> torch.device:
        """Of this rank."""
        ...

    def autocast(self, *args: Any, **kwargs: Any) -> AbstractContextManager[Any]:
        """The precision of forward passes."""
        ...

    def reduce(self, tensor: Any, reduction: str) -> Any:
        """The sum or the mean over all ranks."""
        ...


def over_ranks(ranks: Ranks, value: Tensor, how: Literal["sum", "mean"]) -> Tensor:
    """The sum or the mean of a tensor over all ranks, the same on each."""
    reduced = ranks.reduce(value, how)
    assert isinstance(reduced, Tensor)  # Accelerate also takes lists and mappings of them
    return reduced
