"""What the hardware counts in one forward and backward pass, read by Nsight Compute where it is installed."""

import csv
import io
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial

import torch

from benchmarks.gpu.cases import Case, Setting
from benchmarks.gpu.inputs import KINDS, call_of
from benchmarks.peers import Unavailable
from benchmarks.results import Row

METRICS = {
    "gpu__time_duration.sum": "nanoseconds",
    "smsp__issue_active.avg.pct_of_peak_sustained_active": "issue_active_percent",
    "l1tex__data_pipe_lsu_wavefronts.avg.pct_of_peak_sustained_elapsed": "l1_wavefronts_percent",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "occupancy_percent",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed": "memory_percent",
    "smsp__inst_executed.sum": "warp_instructions",
    "launch__registers_per_thread": "registers",
    "launch__occupancy_limit_registers": "programs_by_registers",
}
"""The counters' names, and what they are called here."""
RESERVE = 3.0  # seconds of the part's time, to stop in
KERNELS = ("count", "prepare", "mix", "sum_gradients", "compute_gradients")


def cases(setting: Setting, so_far: Sequence[Row]) -> Iterator[Case]:
    """A row for each kernel; the profiler runs once, for the first of them."""
    read: dict[str, Row] = {}
    for kernel in KERNELS:
        yield Case({"name": kernel, **KINDS[0].columns}, partial(_measure, kernel, read, setting))


def _measure(kernel: str, read: dict[str, Row], setting: Setting) -> Row:
    if shutil.which("ncu") is None:
        raise Unavailable("ncu is not installed")
    if not read:
        read["asked"] = {}  # once: what failed would fail again
        read |= profile(setting)
    if kernel not in read:
        raise Unavailable("not among the kernels that ncu reported")
    return read[kernel]


def profile(setting: Setting) -> dict[str, Row]:
    """The counters of each kernel by name. ncu leaves the clocks alone: they are not ours to change.

    Raises:
        RuntimeError: ncu failed; with the last that it said.
    """
    target = [sys.executable, "-m", __name__, str(setting.device), str(setting.sizes[0]), str(setting.batch)]
    options = ["--csv", "--print-units", "base", "--clock-control", "none", "--profile-from-start", "off"]
    command = ["ncu", *options, "--metrics", ",".join(METRICS), *target]
    answer = subprocess.run(
        command, capture_output=True, text=True, timeout=max(1, setting.ends - RESERVE - time.monotonic())
    )
    if answer.returncode != 0:
        raise RuntimeError(f"ncu: {(answer.stdout + answer.stderr).strip()[-200:]}")
    return parse(answer.stdout)


def parse(text: str) -> dict[str, Row]:
    """What ncu's CSV says of each kernel, by name: a line for each metric, after lines of the program's own."""
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith('"ID"')), len(lines))
    rows: dict[str, Row] = {}
    for line in csv.DictReader(io.StringIO("\n".join(lines[start:]))):
        if line["Metric Name"] in METRICS:
            name = line["Kernel Name"].partition("(")[0]
            rows.setdefault(name, {})[METRICS[line["Metric Name"]]] = _number(line["Metric Value"])
    return rows


def _number(text: str) -> float | str:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return text  # such as n/a


def main() -> None:
    """The program that ncu looks into: warm, then one forward and backward pass to be counted."""
    device, size, batch = torch.device(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    _, work = call_of(KINDS[0], batch, size, "both", device)
    work(None)
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.profiler.start()
        work(None)
        torch.cuda.synchronize()
        torch.cuda.profiler.stop()


if __name__ == "__main__":
    main()
