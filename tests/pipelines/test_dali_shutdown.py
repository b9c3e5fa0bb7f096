"""What the DALI loader leaves behind, however it is left: nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice

import pytest

from pipelines import DaliLoader, ImageDataset, RandomResizedCrop

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts threads, files and memory in /proc")


def held() -> tuple[int, int]:
    """Threads and open files of this process."""
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


def settled() -> tuple[int, int]:
    """The same when it no longer changes: a thread that was told to end, or joined, takes a moment to be gone."""
    while (now := held()) != (time.sleep(0.2), held())[1]:
        pass
    return now


def leave_early(tiles: ImageDataset) -> None:
    with DaliLoader(tiles, RandomResizedCrop(24), 8, training=True, threads=3) as loader:
        list(islice(loader, 2))


def close_twice(tiles: ImageDataset) -> None:
    before = held()
    loader = DaliLoader(tiles, RandomResizedCrop(24), 8, training=True, threads=3)
    next(iter(loader))
    assert held() > before
    loader.close()
    loader.close()


def fail_in_the_middle(tiles: ImageDataset) -> None:
    with pytest.raises(ZeroDivisionError):
        sum(len(batch) / 0 for batch in DaliLoader(tiles, RandomResizedCrop(24), 8, training=True, threads=3))


def forget(tiles: ImageDataset) -> None:
    next(iter(DaliLoader(tiles, RandomResizedCrop(24), 8, training=True, threads=3)))


@pytest.mark.parametrize("leave", [leave_early, close_twice, fail_in_the_middle, forget])
def test_no_thread_and_no_file_is_left(leave: Callable[[ImageDataset], None], tiles: ImageDataset) -> None:
    leave(tiles)  # libraries start their own
    before = settled()
    leave(tiles)
    assert settled() == before


PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from pipelines import DaliLoader, RandomResizedCrop, image_folder

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell runs in the background
dataset = image_folder(sys.argv[1])

def loader():
    return DaliLoader(dataset, RandomResizedCrop(24), 8, training=True)

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
"""


def start(program: str, tiles: ImageDataset) -> subprocess.Popen:
    command = [sys.executable, "-c", PROGRAM + program, str(tiles.root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_ends_the_program_at_once(tiles: ImageDataset) -> None:
    process = start(
        """
with loader() as endless:
    while True:
        for batch in endless:
            print("going", flush=True)
""",
        tiles,
    )
    for _ in range(3):
        assert process.stdout.readline() == "going\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")


def test_memory_does_not_grow(tiles: ImageDataset) -> None:
    """50 epochs and 20 rebuilds, by the resident size after the first fifth of each; megabytes."""
    process = start(
        """
sizes = []
with loader() as one:
    for _ in range(50):
        list(one)
        sizes.append(resident())
for _ in range(20):
    with loader() as one:
        next(iter(one))
    sizes.append(resident())
print(json.dumps(sizes))
""",
        tiles,
    )
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    sizes = json.loads(output)
    assert sizes[49] - sizes[9] < 8
    assert sizes[69] - sizes[53] < 16
