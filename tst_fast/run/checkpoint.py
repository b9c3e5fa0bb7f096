"""Checkpoints that a kill cannot break, and that are read as they were written or not at all.

A file is what `torch.save` writes, `MARK`, and the SHA-256 of what `torch.save` wrote; `torch.load` reads it, too. Its
name is the number of steps that the run had taken. No code in it is ever run.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from tst_fast.errors import UserError
from tst_pipelines.writing import write_whole

KEPT = 2
VERSION = 3
MARK = b"TST-Fast checkpoint\n"
_SEAL = len(MARK) + hashlib.sha256().digest_size
_PIECE = 1 << 20


@dataclass(frozen=True)
class Found:
    """The newest checkpoint that is as it was written.

    Attributes:
        state: what was saved, on the CPU.
        file: where it is.
        damaged: newer files that are not, and what is wrong with each, newest first.
    """

    state: dict[str, Any]
    file: Path
    damaged: dict[Path, str] = field(default_factory=dict)

    @property
    def notices(self) -> list[str]:
        """What the user is told of each damaged one, with the steps that are lost."""
        at = int(self.file.stem)
        return [
            f"checkpoint {file} {why}: {int(file.stem) - at:,} steps are lost, the run continues from {self.file.name}"
            for file, why in self.damaged.items()
        ]

    def set_aside(self) -> None:
        """Rename the damaged ones, so that they do not count among the newest."""
        for file in self.damaged:
            file.rename(file.with_name(f"{file.name}.damaged"))


def save(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all, then drop all but the two newest.

    Args:
        folder: made if missing.
        step: that the run has taken, more than at earlier checkpoints.
        state: tensors, numbers, strings, lists and dictionaries.

    Raises:
        OSError: it cannot be written; those that are there stay as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with write_whole(folder / f"{step:09}.pt", durable=True) as file:
        hashed = _Hashed(file)
        try:
            torch.save({"version": VERSION, **state}, cast(BinaryIO, hashed))  # which writes, and does nothing else
        except RuntimeError as error:  # amid a large tensor, torch hides what the file raised
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None
        file.write(MARK + hashed.digest.digest())
    for old in [file for file in _files(folder) if file.stem.isdecimal()][:-KEPT]:
        old.unlink()


def load_newest(folder: Path) -> Found:
    """The newest checkpoint in a folder that is as it was written; whatever is wrong with newer ones is told.

    Raises:
        UserError: there is none, or none of those there are can be read.
    """
    files = _files(folder)
    if not files:
        raise UserError(f"{folder} holds no checkpoint: the run was stopped before its first; start it anew")
    damaged = {}
    for file in reversed(files):
        try:
            return Found(load(file), file, damaged)
        except UserError as error:
            damaged[file] = str(error)
    (newest, why), *others = damaged.items()
    more = f"; nor can {', '.join(file.name for file, _ in others)} be used" if others else ""
    raise UserError(f"checkpoint {newest} {why}{more}")


def load(file: Path) -> dict[str, Any]:
    """What `save` wrote.

    Raises:
        UserError: with what is wrong with the file, which it does not name.
    """
    try:
        intact = _is_intact(file)
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})") from None
    state = torch.load(file, map_location="cpu", weights_only=True) if intact else _unpickle(file)
    version = state.get("version") if isinstance(state, dict) else None
    if isinstance(version, int) and version != VERSION:
        raise UserError(f"has version {version}, this program reads {VERSION}")
    if not intact or not isinstance(state, dict):
        raise UserError("is damaged, or is no checkpoint of this program (its checksum does not fit)")
    return state


def tensors_of(state: Any) -> Iterator[Tensor]:
    """Every tensor in nested dictionaries and lists."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict | list | tuple):
        for inner in state.values() if isinstance(state, dict) else state:
            yield from tensors_of(inner)


def is_finite(state: Any) -> bool:
    """Whether no tensor in a state holds NaN or infinity; waits once for the device."""
    found = [tensor.isfinite().all() for tensor in tensors_of(state) if tensor.is_floating_point()]
    return all(torch.stack([each.to(found[0].device) for each in found]).tolist()) if found else True


class _Hashed:
    """A file to write, and the SHA-256 of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def _files(folder: Path) -> list[Path]:
    """By age, oldest first; files of other names, such as those of version 0.1.0, are older than any."""
    return sorted(folder.glob("*.pt"), key=lambda file: (file.stem.isdecimal(), file.stem))


def _is_intact(file: Path) -> bool:
    digest, left = hashlib.sha256(), file.stat().st_size - _SEAL
    with file.open("rb") as opened:
        while left > 0 and (piece := opened.read(min(left, _PIECE))):
            digest.update(piece)
            left -= len(piece)
        return left == 0 and opened.read() == MARK + digest.digest()


def _unpickle(file: Path) -> Any:
    """What is in a file without a checksum, if torch can tell: an older version wrote none."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # of a damaged file, torch.load and what it calls raise anything
        return None
