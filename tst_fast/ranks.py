"""What all ranks hold together."""

from typing import Literal

from accelerate import Accelerator
from torch import Tensor


def over_ranks(accelerator: Accelerator, value: Tensor, how: Literal["sum", "mean"]) -> Tensor:
    """The sum or the mean of a tensor over all ranks, the same on each."""
    reduced = accelerator.reduce(value, how)
    assert isinstance(reduced, Tensor)  # Accelerate also takes lists and mappings of them
    return reduced
