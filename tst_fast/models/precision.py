"""Full precision for losses and resizing, whatever the networks compute in."""

import torch
from torch import Tensor


def in_full_precision(values: Tensor) -> Tensor:
    """The same in float32, or float64 where it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
