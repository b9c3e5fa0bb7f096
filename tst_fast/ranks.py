"""Operations over all ranks."""

from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

import torch
from accelerate.utils import broadcast
from torch import Tensor, nn


class Ranks(Protocol):
    """The part of `Accelerator` that the method needs, so that it also runs in a loop without one."""

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


def share_buffers(network: nn.Module) -> None:
    """Give all ranks the first one's buffers: batch-norm statistics, which each else has of its own images."""
    if not torch.distributed.is_initialized():
        return
    buffers = list(network.buffers())
    for dtype in sorted({buffer.dtype for buffer in buffers}, key=str):  # one exchange for all of a kind
        alike = [buffer for buffer in buffers if buffer.dtype == dtype]
        together = torch.cat([buffer.flatten() for buffer in alike])
        broadcast(together)
        for buffer, values in zip(alike, together.split([buffer.numel() for buffer in alike]), strict=True):
            buffer.copy_(values.view_as(buffer))
