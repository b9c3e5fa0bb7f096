"""Where the time goes, measured on the device without waiting for it."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up the seconds of named pieces of work; on CUDA by events, which are read only when asked for.

    Args:
        device: where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        self._seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Count what is done within under this name."""
        if self._on_gpu:
            event = _recorded()
            try:
                yield
            finally:
                self._events.append((name, event, _recorded()))
            return
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - started

    def read(self) -> dict[str, float]:
        """Seconds by name since the last reading; waits until the measured work is done."""
        for name, started, ended in self._events:
            ended.synchronize()
            self._seconds[name] += started.elapsed_time(ended) / 1000
        self._events.clear()
        seconds, self._seconds = dict(self._seconds), defaultdict(float)
        return seconds


def _recorded() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event
