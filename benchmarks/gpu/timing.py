"""Timing on a GPU by its own events, around replays of a CUDA graph: neither host nor harness is in the timed region.

A graph holds one call for each of several copies of the input, as many as overflow the L2 cache several times, so that
every call finds its input in memory, as in training.
"""

import math
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from benchmarks.gpu.cases import is_out_of_memory
from benchmarks.results import Row
from benchmarks.timing import Timed, synchronise

COLD = 4  # times the L2 cache that is read and written before an input's turn comes again
MOST_COPIES = 64
SHORTEST = 1e-3  # seconds of one replay, beside which launching it is little
CLOCKS = ("clocks.sm", "clocks.max.sm", "clocks.mem", "temperature.gpu", "power.draw")
LONGEST_LOOK = 20  # seconds


@dataclass(frozen=True)
class Times:
    """Of one call, in microseconds.

    Attributes:
        median: over the replays.
        lowest: of them.
        highest: of them.
        by: "graph"; "stream" where the work could not be captured: launches are then in it; "host" on a CPU.
    """

    median: float
    lowest: float
    highest: float
    by: str

    def row(self, images: int) -> Row:
        """The columns of a call that takes so many images."""
        return {
            "microseconds": self.median,
            "lowest": self.lowest,
            "highest": self.highest,
            "images_per_second": 1e6 * images / self.median,
            "timed_by": self.by,
        }


def copies_for(bytes_moved: int, device: torch.device) -> int:
    """How many inputs of a call that moves so many bytes overflow the L2 cache."""
    if device.type != "cuda":
        return 1
    cache = torch.cuda.get_device_properties(device).L2_cache_size
    return min(MOST_COPIES, max(1, math.ceil(COLD * cache / bytes_moved)))


def time_calls(calls: Sequence[Timed], device: torch.device, seconds: float) -> Times:
    """One call of each pair in turn: what its first function returns goes to its second, which alone is timed.

    Args:
        calls: work on different copies of an input. What is prepared lives as long as the timing.
        device: where the work is done.
        seconds: that the replays take at least, after as long a warm-up.
    """
    if device.type != "cuda":
        return _by_host(calls, seconds)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        prepared = [prepare() for prepare, _ in calls]
        bound = [lambda work=work, given=given: work(given) for (_, work), given in zip(calls, prepared, strict=True)]
        replay, count, by = _replay(bound, stream)
        return _times(replay, count, seconds, by)


def _replay(work: Sequence[Callable[[], object]], stream: torch.cuda.Stream) -> tuple[Callable[[], object], int, str]:
    """What to call to do all the work, how many times it does each, and by what it is timed."""

    def once() -> list[object]:
        return [one() for one in work]

    for _ in range(2):  # compiles, and fills the allocator
        kept = once()
    synchronise()
    start = time.perf_counter()
    kept = once()
    synchronise()
    cycles = max(1, min(50, math.ceil(SHORTEST / (time.perf_counter() - start))))
    del kept
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(cycles):
                kept = once()
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        print(f"not captured, timed on the stream: {error}", flush=True)
        synchronise()
        return once, len(work), "stream"

    def replay(kept: object = kept) -> None:  # holds on to what was captured
        graph.replay()

    return replay, cycles * len(work), "graph"


def _times(replay: Callable[[], object], count: int, seconds: float, by: str) -> Times:
    """Warm the clocks up, then queue replays between events, without a wait among them."""
    replays, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds or replays < 3:
        replay()
        replays += 1
        synchronise()
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(max(5, replays))]
    for before, after in events:
        before.record()
        replay()
        after.record()
    synchronise()
    return _summary([1e3 * before.elapsed_time(after) / count for before, after in events], by)


def _by_host(calls: Sequence[Timed], seconds: float) -> Times:
    prepared = [prepare() for prepare, _ in calls]
    times: list[float] = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds or len(times) < 2:
        start = time.perf_counter()
        for (_, work), given in zip(calls, prepared, strict=True):
            work(given)
        times.append(1e6 * (time.perf_counter() - start) / len(calls))
    return _summary(times, "host")


def _summary(times: list[float], by: str) -> Times:
    return Times(statistics.median(times), min(times), max(times), by)


def host_microseconds(call: Callable[[], object], calls: int, rounds: int = 5) -> float:
    """What the host takes to ask for the work, while the device has nothing else to do: the median of the rounds."""
    call()
    times = []
    for _ in range(rounds):
        synchronise()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        times.append(1e6 * (time.perf_counter() - start) / calls)
    synchronise()
    return statistics.median(times)


def clocks(work: Callable[[], object]) -> Row:
    """Clocks in MHz, temperature and power while the GPU does `work`, from nvidia-smi; empty where it cannot tell."""
    if shutil.which("nvidia-smi") is None:
        return {}
    command = ["nvidia-smi", f"--query-gpu={','.join(CLOCKS)}", "--format=csv,noheader,nounits", "--id=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    start = time.monotonic()
    while process.poll() is None and time.monotonic() - start < LONGEST_LOOK:
        work()
        synchronise()
    process.kill()  # where it hangs
    answer = process.communicate()[0].splitlines()
    return dict(zip(CLOCKS, answer[0].split(", "), strict=False)) if process.returncode == 0 and answer else {}
