"""The program and its launchers in processes of their own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = os.pathsep.join(str(ROOT / folder) for folder in (".", "kernels", "pipelines"))


def start(arguments: Sequence[str], environment: Mapping[str, str] | None = None, **options) -> subprocess.Popen:
    """Python with these arguments, what it prints and its errors together."""
    environment = {**os.environ, "PYTHONPATH": PACKAGES, "OMP_NUM_THREADS": "1", **(environment or {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, *arguments], env=environment, **pipes, **options)


def start_ranks(arguments: Sequence[str], count: int = 2) -> list[subprocess.Popen]:
    """Processes of one run without a launcher, as `srun` starts them: each prints for itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "ACCELERATE_USE_CPU": "true"}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)} for rank in range(count)]
    return [start(arguments, {**meeting, **rank}) for rank in ranks]


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


def output_of_ranks(arguments: Sequence[str]) -> str:
    """What the processes of `start_ranks` print until their end, one after the other; all must end well."""
    ranks = start_ranks(arguments)
    try:
        said = [rank.communicate(timeout=300)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert not any(rank.returncode for rank in ranks), said
    return "".join(said)


def only(folder: Path) -> Path:
    """What is in a folder, and nothing else is."""
    (found,) = folder.iterdir()
    return found
