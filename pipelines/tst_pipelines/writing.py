"""Atomic writing of files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def write_whole(path: Path, durable: bool = False) -> Iterator[BinaryIO]:
    """A binary file that is written under a hidden name beside its place, then renamed: there whole or not at all.

    Args:
        path: its place; what was there is replaced.
        durable: also after the power fails: wait until the disk has it, and its name.
    """
    handle, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's files are private; these may be shared
        os.replace(temporary, path)
        if durable:
            _synchronise(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file, as UTF-8, whole or not at all; also after the power fails."""
    with write_whole(path, durable=True) as file:
        file.write(text.encode("utf-8"))


def _synchronise(folder: Path) -> None:
    """Wait until the disk has the names in a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
