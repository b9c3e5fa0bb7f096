"""The same work in other libraries on the same GPU, by events on the stream: few of them can be captured in a graph."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from benchmarks import peers, work
from benchmarks.gpu.cases import Case, Setting
from benchmarks.results import Row
from benchmarks.timing import Timed, seconds_of
from benchmarks.work import PAPER, PASSES, Arm

ROUNDS = 5
EIGHT = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast")
"""What triton-augment has."""


def cases(setting: Setting, so_far: Sequence[Row]) -> Iterator[Case]:
    """A row for each arm and pass, ours first, compiled kornia, which needs minutes of tracing, last."""
    device, size = setting.device, setting.sizes[0]
    batch = setting.batch
    images = torch.randint(0, 256, (batch, 3, size, size), device=device) / 255
    ours: dict[tuple[str, int], float] = {}
    arms: tuple[tuple[str, Sequence[str], Callable[[Sequence[str]], Arm]], ...] = (
        ("ours", PAPER, lambda names: work.ours(names, device)),
        ("torchvision", PAPER, lambda names: work.theirs(names, peers.torchvision())),
        ("kornia", PAPER, lambda names: work.theirs(names, peers.kornia())),
        ("ours", EIGHT, lambda names: work.ours(names, device)),
        ("triton-augment", EIGHT, lambda names: work.theirs(names, peers.triton_augment())),
        ("our reference, compiled", PAPER, lambda names: work.ours(names, device, backend="torch", compile=True)),
        ("kornia, compiled", PAPER, lambda names: work.theirs(names, peers.compiled_kornia())),
    )
    for name, operations, make in arms:
        for passes in PASSES:
            what = {"name": name, "operations": len(operations), "pass": passes, "size": size, "batch": batch}
            yield Case(what, partial(_measure, what, operations, make, images, ours))


def _measure(
    what: Row,
    operations: Sequence[str],
    make: Callable[[Sequence[str]], Arm],
    images: torch.Tensor,
    ours: dict[tuple[str, int], float],
) -> Row:
    """Median of some rounds; beside it, how many times as fast ours is, which is measured before."""
    function = work.timed(make(operations), images, what["pass"])
    first = seconds_of(*function)
    times = [device_seconds(function, images.device) for _ in range(ROUNDS)]
    rate = len(images) * len(work.draws(operations)) / statistics.median(times)
    key = what["pass"], what["operations"]
    if what["name"] == "ours":
        ours[key] = rate
    row = {"images_per_second": rate, "first_call_seconds": first}
    return row | ({"ours_times_as_fast": ours[key] / rate} if key in ours else {})


def device_seconds(function: Timed, device: torch.device) -> float:
    """Of one call, by the GPU's events; by the host's clock on a CPU."""
    if device.type != "cuda":
        return seconds_of(*function)
    prepare, run = function
    given = prepare()
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    before.record()
    run(given)
    after.record()
    torch.cuda.synchronize()
    return before.elapsed_time(after) / 1e3
