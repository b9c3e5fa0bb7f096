"""The folder of a run: made for it alone, and locked by one process as long as that is alive."""

import fcntl
import itertools
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import TextIO

from tst_fast.errors import UserError, reason

LOCK = "lock"
MIN_FREE = 100 * 2**20
"""Bytes that must be free where runs are kept; a run of a large network needs more."""


def make_folder(output: Path, name: str) -> Path:
    """Make `output/NAME-DATE-TIME`, or, where another run has just made it, the same with `-2`, `-3` and so on."""
    output.mkdir(parents=True, exist_ok=True)
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in itertools.count(1):
        folder = output / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError  # count has no end


def require_room(output: Path, flag: str = "--output") -> None:
    """Try to write where runs are kept, before anything takes time; nothing is left there.

    Args:
        output: a folder, which need not be there yet.
        flag: that gave it, for the message.

    Raises:
        UserError: it cannot be written to, or is nearly full.
    """
    there = next(folder for folder in (output.absolute(), *output.absolute().parents) if os.path.lexists(folder))
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"0")
        free = shutil.disk_usage(there).free
    except OSError as error:
        raise UserError(f"{flag} {output} cannot be written to: {reason(error)}") from None
    if free < MIN_FREE:
        raise UserError(f"{flag} {output} has {free / 2**20:,.0f} MiB left: make room, or give another")


def hold(folder: Path) -> TextIO:
    """Lock a run's folder until the file that is returned is closed, or the process ends in whatever way.

    Raises:
        UserError: another process holds it; it is named.
    """
    file = (folder / LOCK).open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise UserError(f"{folder} is in use by {holder}: wait for its end, or stop it") from None
    except OSError:
        pass  # a file system without locks
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


def newest_run(output: Path, name: str | None = None) -> Path | None:
    """The folder of the run in `output` that was begun last, of this name or of any; None if there is none."""
    begun = [file.parent for file in output.glob("*/config.yaml")]
    if name is not None:
        begun = [folder for folder in begun if _name_of(folder) == name]
    return max(begun, key=lambda folder: (folder / "config.yaml").stat().st_ctime_ns, default=None)


def _name_of(folder: Path) -> str:
    """What `make_folder` was given."""
    parts = folder.name.split("-")
    dated = next((i for i in range(len(parts) - 1, 0, -1) if len(parts[i]) == 8 and parts[i].isdecimal()), len(parts))
    return "-".join(parts[:dated])
