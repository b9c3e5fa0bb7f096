"""What a step takes at least: by its arithmetic at the rate of matrix products, by its bytes at that of a copy.

Both rates are measured where the step is. Bytes are those that operators read and write one by one, each argument and
each result once, as without compilation; what caches keep and what compilation fuses needs fewer, so that a step can be
faster than that floor, and on a CPU small ones are. Our own GPU kernels are no operators, and are not among them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.results import Row
from benchmarks.timing import synchronise

SIDE = {"cpu": 1024, "cuda": 8192}  # of the matrices
COPIED = {"cpu": 2**28, "cuda": 2**31}  # bytes, more than caches hold
REPEATS = 5


@dataclass(frozen=True)
class Work:
    """Of one step.

    Attributes:
        operations: floating-point operations of convolutions and matrix products, a multiply-add counted as two.
        bytes: read and written.
    """

    operations: int
    bytes: int


@dataclass(frozen=True)
class Rates:
    """Of a machine.

    Attributes:
        operations: of a product of large matrices, in 1/s.
        bytes: read and written by a copy, in 1/s.
    """

    operations: float
    bytes: float

    @property
    def about(self) -> Row:
        """As what a file of rows says of its machine."""
        return {"matrix_gigaflops": self.operations / 1e9, "copy_gigabytes_per_second": self.bytes / 1e9}

    def columns(self, work: Work, seconds: float, images: int) -> Row:
        """Of a step that took so long: its work an image, its floors, and their shares of its time."""
        floors = {"arithmetic": work.operations / self.operations, "memory": work.bytes / self.bytes}
        return {
            "gigaflops_per_image": work.operations / images / 1e9,
            "megabytes_per_image": work.bytes / images / 1e6,
            **{f"{name}_floor_ms": 1e3 * floor for name, floor in floors.items()},
            **{f"{name}_share": floor / seconds for name, floor in floors.items()},
        }


class Traffic(TorchDispatchMode):
    """Counts the bytes that operators read and write, those of views aside."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, operator: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        """Runs the operator, and counts."""
        result = operator(*arguments, **(named or {}))
        if not operator.is_view:
            self.bytes += sum(map(_bytes, tree_leaves((arguments, named, result))))
        return result


def _bytes(value: object) -> int:
    """Of a tensor's memory; an expanded one is no larger than what it shows."""
    if not isinstance(value, Tensor):
        return 0
    return min(value.numel() * value.element_size(), value.untyped_storage().nbytes())


def count(step: Callable[[], object]) -> Work:
    """The work of one step, which is taken."""
    with FlopCounterMode(display=False) as operations, Traffic() as traffic:
        step()
    return Work(operations.get_total_flops(), traffic.bytes)


def measure_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """The best of some tries each."""
    side, size = SIDE[device.type], COPIED[device.type]
    one, other = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    product = _best(lambda: one @ other)
    source, copy = (torch.ones(size, dtype=torch.uint8, device=device) for _ in range(2))
    return Rates(2 * side**3 / product, 2 * size / _best(lambda: copy.copy_(source)))


def _best(function: Callable[[], object]) -> float:
    function()
    times = []
    for _ in range(REPEATS):
        synchronise()
        start = time.perf_counter()
        function()
        synchronise()
        times.append(time.perf_counter() - start)
    return min(times)
