"""What a step takes at least: by its arithmetic at the rate of matrix products, by its bytes at that of a copy.

Both rates are measured where the step is. Bytes are those that operators read and write one by one, each argument and
each result once, as without compilation; what caches keep and what compilation fuses needs fewer, so that a step can be
faster than that floor, and on a CPU small ones are. Our own GPU kernels are no operators, and are not among them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.operators import Work
from benchmarks.results import Row
from benchmarks.timing import synchronise

SIDE = {"cpu": 1024, "cuda": 8192}  # of the matrices
COPIED = {"cpu": 2**28, "cuda": 2**31}  # bytes, more than caches hold
REPEATS = 5


@dataclass(frozen=True)
class Rates:
    """Of a machine.

    Attributes:
        flops: of a product of large matrices, in 1/s.
        bytes: read and written by a copy, in 1/s.
    """

    flops: float
    bytes: float

    @property
    def about(self) -> Row:
        """As what a file of rows says of its machine."""
        return {"matrix_gigaflops": self.flops / 1e9, "copy_gigabytes_per_second": self.bytes / 1e9}

    def columns(self, work: Work, seconds: float, images: int) -> Row:
        """Of a step that took so long: its work an image, its floors, and their shares of its time."""
        floors = {"arithmetic": work.total_flops / self.flops, "memory": work.total_bytes / self.bytes}
        return {
            "gigaflops_per_image": work.total_flops / images / 1e9,
            "megabytes_per_image": work.total_bytes / images / 1e6,
            **{f"{name}_floor_ms": 1e3 * floor for name, floor in floors.items()},
            **{f"{name}_share": floor / seconds for name, floor in floors.items()},
        }


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
