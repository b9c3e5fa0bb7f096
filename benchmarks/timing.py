"""Interleaved timing by the host's clock: of functions, and of endless streams of batches."""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

Timed = tuple[Callable[[], object], Callable[[object], object]]
"""What is done before the clock starts, and what is timed, given what came of it."""


def interleaved(functions: Mapping[str, Timed], rounds: int, warmup: int = 1) -> dict[str, list[float]]:
    """Seconds of each function in each round; one after the other within a round, so that drift hits all alike."""
    for prepare, function in functions.values():
        for _ in range(warmup):
            function(prepare())
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, (prepare, function) in functions.items():
            seconds[name].append(seconds_of(prepare, function))
    return seconds


def seconds_of(prepare: Callable[[], object], function: Callable[[object], object]) -> float:
    """What one call takes, given what `prepare` returned before the clock started."""
    prepared = prepare()
    synchronise()
    start = time.perf_counter()
    function(prepared)
    synchronise()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Steady:
    """One round of an endless stream of batches.

    Attributes:
        rate: images/s.
        cpu_seconds_per_image: of this process and of its workers.
    """

    rate: float
    cpu_seconds_per_image: float


def steady(
    streams: Mapping[str, Callable[[], Iterator[object]]], batch: int, least: float, settle: int, rounds: int
) -> dict[str, list[Steady]]:
    """Each stream in each round, one after the other within a round, built anew.

    Args:
        streams: each makes an endless stream; it is closed after its turn.
        batch: images of a batch.
        least: seconds that are timed, and what is left of the last batch.
        settle: batches that are taken before: they were prepared in advance.
        rounds: how often.
    """
    measured: dict[str, list[Steady]] = {name: [] for name in streams}
    for _ in range(rounds):
        for name, make in streams.items():
            with contextlib.closing(make()) as stream:
                for _ in range(settle):
                    next(stream)
                measured[name].append(_steady(stream, batch, least))
    return measured


def _steady(stream: Iterator[object], batch: int, least: float) -> Steady:
    synchronise()
    start, cpu, images = time.perf_counter(), _cpu_seconds(), 0
    while time.perf_counter() - start < least:
        next(stream)
        images += batch
    synchronise()
    seconds, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
    return Steady(images / seconds, cpu / images)


def _cpu_seconds() -> float:
    """CPU time of this process and, on Linux, of its living children."""
    total = time.process_time()
    for child in multiprocessing.active_children():
        with contextlib.suppress(OSError):
            user, system = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
            total += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return total


def synchronise() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
