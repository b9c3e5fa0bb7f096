"""The tests that only a GPU can run; warnings are no failures here."""

import importlib.util
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.gpu.cases import Case, Setting
from benchmarks.peers import Unavailable
from benchmarks.results import Row

ROOT = Path(__file__).parents[2]
FILES = ("tests/kernels/test_triton_cuda.py", "tests/pipelines/loaders/test_dali_cuda.py")
NEEDED = ("pytest", "hypothesis", "sklearn")
OUTCOME = re.compile(r"^(\S+::.*?) (PASSED|FAILED|SKIPPED|ERROR)\b")
RESERVE = 3.0  # seconds of the part's time, to stop in


def cases(setting: Setting, so_far: Sequence[Row]) -> Iterator[Case]:
    """One row for all."""
    yield Case({"name": ", ".join(FILES)}, partial(_measure, setting.ends))


def _measure(ends: float) -> Row:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Unavailable(f"{', '.join(missing)} not installed")
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-W", "default", *FILES]
    return run(command, ends - RESERVE - time.monotonic())


def run(command: Sequence[str], seconds: float) -> Row:
    """How many tests passed, failed and were skipped, counted line by line: also where the time is not enough."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    timer = threading.Timer(max(1.0, seconds), process.kill)
    timer.start()
    failed: list[str] = []
    counts: Counter[str] = Counter()
    for line in process.stdout:
        print(line, end="", flush=True)
        if match := OUTCOME.match(line):
            counts[match[2].lower()] += 1
            failed += [match[1].rpartition("::")[2]] * (match[2] in ("FAILED", "ERROR"))
    timer.cancel()
    status = process.wait()
    row = dict(counts) | ({"which_failed": "; ".join(failed)} if failed else {})
    return row | ({"note": "stopped: its time was up"} if status < 0 else {"exit_status": status})
