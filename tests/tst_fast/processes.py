"""The program and its launchers in processes of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = os.pathsep.join(str(ROOT / folder) for folder in (".", "kernels", "pipelines"))


def start(arguments: Sequence[str], **options) -> subprocess.Popen:
    """Python with these arguments, what it prints and its errors together."""
    environment = {**os.environ, "PYTHONPATH": PACKAGES, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, *arguments], env=environment, **pipes, **options)


def output_of(arguments: Sequence[str], status: int = 0) -> str:
    """What it prints until its end, with this exit status."""
    process = start(arguments, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"still running after 300 s: {process.communicate()[0]}")
    assert process.returncode == status, output
    return output


def only(folder: Path) -> Path:
    """What is in a folder, and nothing else is."""
    (found,) = folder.iterdir()
    return found
