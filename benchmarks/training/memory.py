"""How much memory a step takes beyond what was taken before it."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import torch

STATUS, PEAK_RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def step_mebibytes(step: Callable[[], object], device: torch.device) -> float | None:
    """At most, in a step that is taken; on a GPU by its allocator, on a CPU by the pages of this process.

    None where the system does not tell: on a CPU, Linux with glibc does.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what is free but kept would be taken again unseen
        PEAK_RESET.write_text("5")
    except (OSError, AttributeError):
        return None
    before = _kibibytes("VmRSS")
    step()
    return (_kibibytes("VmHWM") - before) / 2**10


def _kibibytes(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
