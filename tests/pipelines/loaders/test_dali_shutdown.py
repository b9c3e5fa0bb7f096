"""What the DALI loader leaves behind, however it is left: no thread, no file; for memory see `test_loaders`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from tests.pipelines.scenery import make_pairs
from tst_pipelines import DaliLoader, ImageDataset, RandomResizedCrop, Share
from tst_pipelines.datasets.files import ImageFiles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts threads and files in /proc")


def held() -> tuple[int, int]:
    """Threads and open files of this process."""
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


def settled() -> tuple[int, int]:
    """The same when it no longer changes: a thread that was told to end, or joined, takes a moment to be gone."""
    before, now = None, held()
    while now != before:
        time.sleep(0.2)
        before, now = now, held()
    return now


def leave_early(tiles: ImageFiles) -> None:
    with DaliLoader(tiles, RandomResizedCrop(24), 8, Share(training=True), threads=3) as loader:
        list(islice(loader, 2))


def close_twice(tiles: ImageFiles) -> None:
    before = held()
    loader = DaliLoader(tiles, RandomResizedCrop(24), 8, Share(training=True), threads=3)
    next(iter(loader))
    assert held() > before
    loader.close()
    loader.close()


def fail_in_the_middle(tiles: ImageFiles) -> None:
    with pytest.raises(ZeroDivisionError):
        sum(len(batch) / 0 for batch in DaliLoader(tiles, RandomResizedCrop(24), 8, Share(training=True), threads=3))


def forget(tiles: ImageFiles) -> None:
    next(iter(DaliLoader(tiles, RandomResizedCrop(24), 8, Share(training=True), threads=3)))


@pytest.mark.parametrize("leave", [leave_early, close_twice, fail_in_the_middle, forget])
@pytest.mark.parametrize("kind", ["images", "pairs"])
def test_no_thread_and_no_file_is_left(
    kind: str, leave: Callable[[ImageFiles], None], tiles: ImageDataset, photos: list, tmp_path: Path
) -> None:
    if kind == "pairs":
        tiles = make_pairs(tmp_path, photos, [(40, 30)] * 42)
    leave(tiles)  # libraries start their own
    before = settled()
    leave(tiles)
    assert settled() == before


ENDLESS = """
import signal, sys
from tst_pipelines import DaliLoader, RandomResizedCrop, Share, image_folder

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell runs in the background
with DaliLoader(image_folder(sys.argv[1]), RandomResizedCrop(24), 8, Share(training=True)) as loader:
    while True:
        for batch in loader:
            print("going", flush=True)
"""


def test_ctrl_c_ends_the_program_at_once(tiles: ImageDataset) -> None:
    command = [sys.executable, "-c", ENDLESS, str(tiles.root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(3):
        assert process.stdout.readline() == "going\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
