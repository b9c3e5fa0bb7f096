"""The user's cache folder, and arrays cached in it until the files that they were made from change."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from tst_pipelines.protocol import DataError
from tst_pipelines.writing import write_whole

# A change within this many seconds before a look may carry the same time as the look: clocks tick coarsely, and a file
# server's may differ from ours. What is newer is not cached.
SETTLED_SECONDS = 60


def user_cache() -> Path:
    """$TST_FAST_CACHE, else $XDG_CACHE_HOME/tst-fast, else ~/.cache/tst-fast.

    Raises:
        DataError: none of them is there.
    """
    if own := os.environ.get("TST_FAST_CACHE"):
        return Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "tst-fast"
    try:
        return Path.home() / ".cache" / "tst-fast"
    except RuntimeError:
        raise DataError("no home folder was found for the cache: set TST_FAST_CACHE to a folder") from None


def stamp(path: str | Path) -> tuple[int, int, int, int]:
    """What changes with a file, or with the names in a folder: the times mtime and ctime, the inode and the size.

    A folder's times change when a name in it is added, removed, renamed or replaced, and not when a file or a folder
    inside changes. The time of status cannot be set by a program: files put in place with the old times, as by tar or
    rsync, show there. Some mounts of object stores give folders no true times; see `IndexCache`.

    Raises:
        OSError: its status cannot be read.
    """
    status = os.stat(path)
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size


class IndexCache:
    """Arrays made from files or folders, kept in the cache under `index/`.

    They are given back only if each of the sources still has the stamp that it had before it was read, and kept only if
    all of these stamps are older than a minute. A file system that does not tell (a mount of an object store that gives
    every folder the time 0 or the current one) is not relied on: such times are never kept. A cache that cannot be
    written or read is passed over, for all that it saves is time.

    Args:
        subject: what the arrays are, with the version of their form and the absolute path that they were made from.
    """

    def __init__(self, subject: str) -> None:
        self._subject = np.frombuffer(os.fsencode(subject), np.uint8)
        try:
            cache = user_cache()
        except DataError:  # no home: nothing can be kept
            cache = Path(os.devnull)
        self._file = cache / "index" / f"{hashlib.sha256(self._subject).hexdigest()[:24]}.npz"
        self._begun = time.time()

    def recall(self) -> dict[str, np.ndarray] | None:
        """The arrays as they were kept, or None."""
        try:
            with open(self._file, "rb") as file, np.load(file, allow_pickle=False) as kept:
                arrays = dict(kept)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None
        return arrays if np.array_equal(arrays.pop("subject", None), self._subject) else None

    def keep(self, arrays: Mapping[str, np.ndarray], stamps: np.ndarray) -> None:
        """Keep arrays, if their sources have settled.

        Args:
            arrays: anything without Python objects.
            stamps: int64 [S, 4], the `stamp` of each source, taken before it was read.
        """
        times = stamps[:, :2]
        if times.min() <= 0 or times.max() > (self._begun - SETTLED_SECONDS) * 1e9:
            return
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with write_whole(self._file) as file:
                # To the stubs, one of the arrays might be called allow_pickle.
                np.savez(file, subject=self._subject, **arrays)  # pyright: ignore[reportArgumentType]


def write_png(image: Image.Image, path: Path) -> None:
    """An image, written whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(path) as file:
        image.save(file, "PNG")
