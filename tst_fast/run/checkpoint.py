"""Checkpoints that a kill cannot break: written aside, then renamed; read without unpickling code."""

import pickle
from pathlib import Path
from typing import Any

import torch

from tst_fast.errors import UserError
from tst_pipelines.writing import write_whole

KEPT = 2
VERSION = 2


def save(folder: Path, name: str, state: dict[str, Any]) -> None:
    """Write `folder/name.pt` whole or not at all, then drop all but the two newest.

    Args:
        folder: made if missing.
        name: sorts after the names of earlier checkpoints.
        state: tensors, numbers, strings, lists and dictionaries.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with write_whole(folder / f"{name}.pt", durable=True) as file:
        torch.save({"version": VERSION, **state}, file)
    for old in sorted(folder.glob("*.pt"))[:-KEPT]:
        old.unlink()


def load_newest(folder: Path) -> dict[str, Any]:
    """The newest checkpoint in a folder, on the CPU.

    Raises:
        UserError: there is none, it cannot be read, or it is of another version of the program.
    """
    files = sorted(folder.glob("*.pt"))
    if not files:
        raise UserError(f"{folder} holds no checkpoint: the run was stopped before its first; start it anew")
    try:
        state = torch.load(files[-1], map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"checkpoint {files[-1]} cannot be read ({str(error).splitlines()[0]}): delete it") from None
    if state.get("version") != VERSION:
        raise UserError(f"checkpoint {files[-1]} has version {state.get('version')}, this program reads {VERSION}")
    return state
