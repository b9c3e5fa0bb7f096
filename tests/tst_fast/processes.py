"""The program and its launchers in processes of their own."""

import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
PACKAGES = os.pathsep.join(str(ROOT / folder) for folder in (".", "kernels", "pipelines"))


def start(arguments: Sequence[str], environment: Mapping[str, str] | None = None, **options) -> subprocess.Popen:
    """Python with these arguments, what it prints and its errors together."""
    environment = {**os.environ, "PYTHONPATH": PACKAGES, "OMP_NUM_THREADS": "1", **(environment or {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, *arguments], env=environment, **pipes, **options)


_IMPORTED = multiprocessing.get_context("forkserver")
"""A process that has done nothing but import what takes seconds, from which others are forked."""
_IMPORTED.set_forkserver_preload(["tst_fast.run.start", "tst_fast.report.html.page"])


class Forked:
    """As what `start` gives, but seconds sooner; it ends as multiprocessing has it."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._output = tempfile.NamedTemporaryFile()  # noqa: SIM115
        everything = {**os.environ, **environment}
        self._process = _IMPORTED.Process(target=_run, args=(arguments, everything, self._output.name), daemon=True)
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a forked process", timeout)
        return Path(self._output.name).read_text(), None


def _run(arguments: Sequence[str], environment: Mapping[str, str], output: str) -> None:
    """What `start` does, in a process that has begun."""
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    with open(output, "wb") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    sys.argv = list(arguments)
    runpy.run_path(arguments[0], run_name="__main__")


def start_ranks(
    arguments: Sequence[str], count: int = 2, kind: Callable[..., subprocess.Popen | Forked] = Forked
) -> list[subprocess.Popen | Forked]:
    """Processes of one run without a launcher, as `srun` starts them: each prints for itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "ACCELERATE_USE_CPU": "true"}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)} for rank in range(count)]
    return [kind(arguments, {**meeting, **rank}) for rank in ranks]


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
