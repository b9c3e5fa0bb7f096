"""Measure kernels, the steps of runs and loaders on the GPU at hand, in under 8 minutes.

    python -m benchmarks.gpu --json benchmarks/results/gpu.json
    python -m benchmarks.gpu --json FILE --device cpu --sizes 16 --batch 2 --seconds 0.01     # a rehearsal

Rows are added to the JSON file as they are measured; Markdown and a profiler's trace lie beside it.
"""

import argparse
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from benchmarks import report
from benchmarks.gpu import cases, goals
from benchmarks.gpu.cases import Setting
from benchmarks.results import Results, machine, show

PARTS = {
    "parity": 75,
    "bounds": 15,
    "kernels": 65,
    "training": 165,
    "loaders": 45,
    "variants": 40,
    "counters": 25,
    "suite": 25,
    "peers": 15,
}
"""Modules of this package in the order they run, and the seconds of each, which may use what those before it left."""
LIMIT = 470  # seconds for all of them
PACKAGES = ("triton", "torchvision", "kornia", "triton-augment")


def read(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="write the rows here")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu rehearses")
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 32, 512], help="image sides, the main one first")
    parser.add_argument("--batch", type=int, default=256, help="of the main size; the others hold as many pixels")
    parser.add_argument("--seconds", type=float, default=0.2, help="of each timing, at least")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for everything; shared out alike")
    parser.add_argument("--part", choices=PARTS, help="this one alone, in this process, added to the file's rows")
    parser.add_argument("--ends", type=float, help=argparse.SUPPRESS)  # of a part, by time.monotonic
    return parser.parse_args(arguments)


def run_part(options: argparse.Namespace) -> bool:
    """Measure one part here; whether it went as it should."""
    ends = options.ends or time.monotonic() + PARTS[options.part]
    device = torch.device(options.device)
    setting = Setting(device, options.sizes, options.batch, options.seconds, options.json, ends)
    results = Results.read(options.json)
    part = importlib.import_module(f"benchmarks.gpu.{options.part}")
    return cases.run(options.part, list(part.cases(setting, list(results.rows))), results)


def run_isolated(part: str, seconds: float, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Measure one part in a process of its own, which is ended when its time is up; how it went."""
    start = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments, "--part", part, "--ends", str(start + seconds)]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        status = process.wait(seconds)
        return f"{'done' if status == 0 else f'exit status {status}'} in {time.monotonic() - start:.0f} s"
    except subprocess.TimeoutExpired:
        return f"stopped after its {seconds:.0f} s"
    finally:
        stop(process)


def stop(process: subprocess.Popen) -> None:
    """End a process and all it started, whichever of them still run."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def run_all(options: argparse.Namespace, arguments: Sequence[str]) -> bool:
    """Every part in turn, as far as the time goes; whether all of them went as they should."""
    begin = time.monotonic()
    results = Results(machine(*PACKAGES) | {"gpu": name_of(options.device), "parts": {}}, options.json)
    with tempfile.TemporaryDirectory() as cache:  # its own, so that a first call compiles
        environment = os.environ | {"TRITON_CACHE_DIR": cache, "PYTHONUNBUFFERED": "1"}
        shared_out = 0.0
        for part, seconds in PARTS.items():
            shared_out += seconds * options.limit / LIMIT
            box = shared_out - (time.monotonic() - begin)
            ended = run_isolated(part, box, arguments, environment) if box > 1 else "not begun: the time was up"
            print(f"{part}: {ended}", flush=True)
            results = Results.read(options.json)
            results.about["parts"][part] = ended
            results.save()
    results.rows += goals.rows(results.rows)
    results.about["seconds"] = time.monotonic() - begin
    results.save()
    options.json.with_suffix(".md").write_text(report.markdown({**results.about, "rows": results.rows}))
    show(f"Goals, on {results.about['gpu']}", [row for row in results.rows if row["part"] == "goals"])
    return all(ended.startswith("done") for ended in results.about["parts"].values())


def name_of(device: str) -> str | None:
    """The GPU's, as CUDA tells it; None where there is none."""
    try:
        return torch.cuda.get_device_name()
    except (AssertionError, RuntimeError):
        if device == "cuda":
            sys.exit("error: there is no CUDA GPU here; --device cpu rehearses without one")
        return None


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; exit status 1 where a part did not go as it should."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no part is left behind
    options = read(arguments)
    is_sound = run_part(options) if options.part else run_all(options, arguments)
    sys.exit(0 if is_sound else 1)


if __name__ == "__main__":
    main()
