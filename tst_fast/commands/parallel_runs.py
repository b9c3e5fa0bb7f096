"""Runs side by side on one machine, some at a time: each in a process of its own, which writes to a log of its own."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from tst_fast.commands.resuming import result_of
from tst_fast.config.schema import Config
from tst_fast.errors import Interrupted, UserError, errors_as_messages
from tst_fast.run.start import start_accelerator
from tst_fast.signals import handled_by

PAUSE = 0.2
"""Seconds between two looks at the processes."""


@dataclass(frozen=True)
class Planned:
    """A run that is to be begun, continued or found.

    Attributes:
        title: of what it is one, for people.
        config: of the run.
        folder: the run's.
    """

    title: str
    config: Config
    folder: Path

    @property
    def log(self) -> Path:
        """What its process prints, if it has one of its own."""
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def has_ended(self) -> bool:
        """Whether it is found, with its result."""
        return (self.folder / "result.json").exists()


def run_in_parallel(runs: Sequence[Planned], jobs: int, begun: Callable[[Planned], None]) -> Iterator[Planned]:
    """Make runs, `jobs` of them at a time, and give each as it has ended. They share the GPUs and the CPU's threads.

    A signal that asks to stop, and a run that fails, stop all of them with a checkpoint; each goes on when it is asked
    for again. A second signal kills them.

    Args:
        runs: in the order in which they are begun; none has ended.
        jobs: 1 or more.
        begun: is told of each run as it begins.

    Raises:
        UserError: a run failed; its log is named.
        Interrupted: a signal came.
    """
    waiting = list(runs)
    places: dict[int, tuple[Planned, BaseProcess]] = {}
    received: list[signal.Signals] = []
    with handled_by(lambda number, _: received.append(signal.Signals(number))):
        try:
            while waiting or places:
                for place in set(range(jobs)) - places.keys() if waiting else ():
                    places[place] = waiting[0], _start(waiting[0], place, jobs)
                    begun(waiting.pop(0))
                    if not waiting:
                        break
                time.sleep(PAUSE)
                if received:
                    raise Interrupted(received[0], f"{received[0].name}: stopped")
                over = [place for place, (_, process) in places.items() if not process.is_alive()]
                for run, process in map(places.pop, over):
                    if process.exitcode != 0:
                        raise UserError(_what_happened(run, process.exitcode))
                    yield run
        finally:
            _stop([process for _, process in places.values()], received)


def _start(run: Planned, place: int, jobs: int) -> BaseProcess:
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    threads = max(1, torch.get_num_threads() // jobs)
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(run, threads), name=run.folder.name)
    resource_tracker.ensure_running()  # for to start it takes the mask of SIGINT away
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # which the process inherits
    try:
        with _seeing_one_gpu(place):
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    return process


def _run(run: Planned, threads: int) -> None:
    """What the process does; it stops if the one that started it is gone."""
    _leave_terminal()
    log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    with errors_as_messages():
        result_of(run.config, run.folder, start_accelerator(run.config.timeout))


def _leave_terminal() -> None:
    """From now on Ctrl-C reaches only the process that started this one, which passes it on; nor has one before."""
    os.setsid()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # forgets one that waits
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    signal.signal(signal.SIGINT, before)


def _stop_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is not the first process
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _seeing_one_gpu(place: int) -> Iterator[None]:
    """What is started within sees one of this process's GPUs, each in its turn."""
    name = "CUDA_VISIBLE_DEVICES"
    before = os.environ.get(name)
    gpus = before.split(",") if before else list(map(str, range(torch.cuda.device_count())))
    if gpus:
        os.environ[name] = gpus[place % len(gpus)]
    try:
        yield
    finally:
        if before is not None:
            os.environ[name] = before
        else:
            os.environ.pop(name, None)


def _stop(processes: Sequence[BaseProcess], received: Sequence[signal.Signals]) -> None:
    """Ask processes to write a checkpoint and end; wait until they have, or until another signal comes."""
    so_far = len(received)
    for process in processes:
        process.terminate()
    while any(process.is_alive() for process in processes) and len(received) == so_far:
        time.sleep(PAUSE)
    for process in processes:
        process.kill()  # nothing, of one that has ended
        process.join()


def _what_happened(run: Planned, status: int | None) -> str:
    lines = run.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    error = next((line for line in reversed(lines) if line.startswith("error: ")), f"its exit status is {status}")
    return f"{run.folder.name}: {error.removeprefix('error: ')} (its log is {run.log}); the same command goes on"
