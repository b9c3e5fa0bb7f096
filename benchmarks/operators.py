"""The work in a network's passes: floating-point operations and memory traffic of each operator that PyTorch runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True)
class Work:
    """Of some operators, in the order in which they run.

    Attributes:
        flops: of each; a multiplication and an addition are two.
        bytes: read and written by each: every argument and every result once; what caches keep needs fewer.
    """

    flops: list[float] = field(default_factory=list)
    bytes: list[float] = field(default_factory=list)

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def times(self, factor: float) -> "Work":
        """Of as many operators, each of which does `factor` times as much: more images, or larger ones."""
        return Work([factor * one for one in self.flops], [factor * one for one in self.bytes])

    @property
    def total_flops(self) -> float:
        """Of all of them."""
        return sum(self.flops)

    @property
    def total_bytes(self) -> float:
        """Of all of them."""
        return sum(self.bytes)

    def seconds(self, flops_rate: float, byte_rate: float) -> float:
        """The least time, operator by operator: of its arithmetic or of its traffic, whichever takes longer.

        Args:
            flops_rate: floating-point operations a second.
            byte_rate: bytes read or written a second.
        """
        pairs = zip(self.flops, self.bytes, strict=True)
        return sum(max(flops / flops_rate, size / byte_rate) for flops, size in pairs)


def work_of(run: Callable[[], object]) -> Work:
    """What a call does; on the device "meta" it takes no time and no memory."""
    with _Recorder() as recorder:
        run()
    return recorder.work


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.work = Work()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not (func.is_view or func._overloadpacket in _WITHOUT_WORK):
            count = flop_registry.get(func._overloadpacket)
            self.work.flops.append(count(*args, **(kwargs or {}), out_val=result) if count else 0.0)
            self.work.bytes.append(sum(map(_bytes, tree_iter((args, kwargs, result)))))
        return result


def _bytes(value: object) -> int:
    """Of a tensor's memory; an expanded one is no larger than what it shows."""
    if not isinstance(value, Tensor):
        return 0
    return min(value.numel() * value.element_size(), value.untyped_storage().nbytes())


_WITHOUT_WORK = {torch.ops.aten.detach, torch.ops.aten.empty, torch.ops.aten.empty_like, torch.ops.aten._unsafe_view}
