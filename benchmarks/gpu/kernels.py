"""`mix` alone: images/s over layouts, sizes and passes, each operation by itself, and what the host pays for a call."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from benchmarks.gpu.cases import Case, Setting
from benchmarks.gpu.inputs import KINDS, Kind, call_of
from benchmarks.gpu.timing import clocks, copies_for, host_microseconds, time_calls
from benchmarks.results import Row
from tst_kernels import OPERATIONS

PASSES = ("forward", "backward", "both")
SMALL = 32, 128
"""Side and batch of CIFAR's images in training: too few to fill a large GPU."""


def cases(setting: Setting, so_far: Sequence[Row]) -> Iterator[Case]:
    """The main configuration first; `so_far` holds the rows of the earlier parts, the issue bounds among them."""
    main, device = setting.sizes[0], setting.device
    for kind in KINDS:
        yield from _passes(setting, kind, main, setting.batch, so_far)
    yield Case({"name": "clocks", "size": main}, partial(_clocks, setting))
    yield Case({"name": "copy of as many bytes", "size": main}, partial(_copy, setting))
    for passes in ("forward", "both"):
        yield Case({"name": "host", "pass": passes}, partial(_host, passes, device))
    for size in setting.sizes[1:]:
        yield from _passes(setting, KINDS[0], size, setting.batch_of(size), so_far)
    yield from _passes(setting, KINDS[0], *SMALL, so_far)
    for name in OPERATIONS:
        what = {"name": name, "pass": "forward", "size": main, "batch": setting.batch, **KINDS[0].columns}
        yield Case(what, partial(timed_row, setting, KINDS[0], main, setting.batch, "forward", operation=name))


def _passes(setting: Setting, kind: Kind, size: int, batch: int, so_far: Sequence[Row]) -> Iterator[Case]:
    for passes in PASSES:
        what = {"name": "mix", "pass": passes, "size": size, "batch": batch, **kind.columns}
        yield Case(what, partial(_bounded_row, setting, kind, size, batch, passes, so_far))


def timed_row(setting: Setting, kind: Kind, size: int, batch: int, passes: str, **how: str) -> Row:
    """Times of one configuration, its input cold; `how` is the draw's."""
    bytes_moved = kind.bytes_moved(batch, size)
    copies = copies_for(bytes_moved, setting.device)
    calls = [call_of(kind, batch, size, passes, setting.device, seed, **how) for seed in range(copies)]
    times = time_calls(calls, setting.device, setting.seconds)
    row = times.row(batch)
    if passes == "forward":
        row["gigabytes_per_second"] = bytes_moved / times.median / 1e3
    return row


def _bounded_row(setting: Setting, kind: Kind, size: int, batch: int, passes: str, so_far: Sequence[Row]) -> Row:
    """With the share of the bound that instructions set to bytes turned into contiguous bfloat16, where it is known."""
    row = timed_row(setting, kind, size, batch, passes)
    bounds = [one for one in so_far if one.get("images") == kind.images and "issue_bound" in one]
    if bounds and passes == "forward" and kind.columns["result"] == "bfloat16":
        pixels_per_second = row["images_per_second"] * size**2
        row["share_of_issue_bound"] = pixels_per_second / (bounds[0]["issue_bound"] * bounds[0]["size"] ** 2)
    return row


def _clocks(setting: Setting) -> Row:
    """Of the GPU at work."""
    _, work = call_of(KINDS[0], setting.batch, setting.sizes[0], "forward", setting.device)
    return clocks(lambda: work(None)) or {"note": "no nvidia-smi here"}


def _copy(setting: Setting) -> Row:
    """The bandwidth there is: a copy within the device's memory."""
    half = KINDS[0].bytes_moved(setting.batch, setting.sizes[0]) // 2
    pairs = [torch.empty(2, half, dtype=torch.uint8, device=setting.device).random_() for _ in range(4)]
    calls = [(lambda: None, lambda _, pair=pair: pair[0].copy_(pair[1])) for pair in pairs]
    times = time_calls(calls, setting.device, setting.seconds)
    return {"microseconds": times.median, "gigabytes_per_second": 2 * half / times.median / 1e3, "timed_by": times.by}


def _host(passes: str, device: torch.device) -> Row:
    """On images so small that the device is never behind."""
    _, work = call_of(KINDS[0], 2, 16, passes, device)
    return {"host_microseconds": host_microseconds(lambda: work(None), 50 if device.type == "cuda" else 1)}
