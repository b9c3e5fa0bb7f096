"""Weights in files, read without ever unpickling code."""

import argparse
import hashlib
import json
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor, nn

from tst_fast.errors import UserError, printable, reason
from tst_pipelines.writing import write_whole

WRAPPERS = ("model", "state_dict", "net", "model_state_dict")
"""Where published checkpoints keep the state dict, beside the epoch, the accuracy, an optimizer or settings."""

MAX_DEPTH = 4
"""Of wrappers within wrappers."""
WIDTH = 300
"""Characters of what a file says, in a message."""

PREFIXES = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every name."""

_WITH_FEATURES = ("network.", "connectors.")
"""What `WithFeatures` is made of."""

# Plain values that such checkpoints hold besides: the result of argparse, and numpy's numbers under both their names.
_NUMPY_SCALAR = np.float64(0).__reduce__()[0]
INERT: list[Any] = [
    argparse.Namespace,
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int32DType,
    np.dtypes.Int64DType,
    (_NUMPY_SCALAR, "numpy._core.multiarray.scalar"),
    (_NUMPY_SCALAR, "numpy.core.multiarray.scalar"),
]


def save_weights(
    model: nn.Module, file: Path, architecture: str, classes: Sequence[str], epoch: int | None = None
) -> None:
    """Write a model's state dict as safetensors, the names of its architecture and classes in the header.

    Args:
        model: what is saved.
        file: where to.
        architecture: its name.
        classes: their names.
        epoch: after which these weights are, from 0, for the header; None: the last.
    """
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with write_whole(file, durable=True) as opened:
        # One entry: safetensors writes several in an order that differs from call to call.
        about = {"architecture": architecture, "classes": list(classes)} | ({} if epoch is None else {"epoch": epoch})
        opened.write(serialise(tensors, metadata={"model": json.dumps(about)}))


def saved_classes(file: Path) -> tuple[str, ...] | None:
    """The names of the classes in the header of what `save_weights` wrote; None in a file that has none.

    Raises:
        UserError: the file is missing, or is not of safetensors.
    """
    about = _header(file)
    return None if about is None else tuple(map(str, about["classes"]))


def require_class_order(file: Path, role: str, classes: Sequence[str]) -> None:
    """Refuse weights whose answers would be taken for other classes: the data has the same names in another order.

    Args:
        file: see `weights_file`; one without names of classes is not looked into.
        role: of the network, for messages: "teacher".
        classes: names, in the order of the data's labels.

    Raises:
        UserError: with the first name that stands elsewhere.
    """
    file = weights_file(file, role)
    saved = saved_classes(file) if file.suffix == ".safetensors" else None
    if saved is None or saved == tuple(classes) or sorted(saved) != sorted(classes):
        return
    number = next(number for number, name in enumerate(saved) if name != classes[number])
    raise UserError(
        f"the {role} checkpoint {file} has the data's classes in another order: class {number} is {saved[number]!r} "
        f"there and {classes[number]!r} in the data. Give the data its order: {', '.join(saved[:20])}"
    )


def saved_epoch(file: Path) -> int | None:
    """The epoch in the header of what `save_weights` wrote; None without one.

    Raises:
        UserError: as `saved_classes`.
    """
    return (_header(file) or {}).get("epoch")


def _header(file: Path) -> dict[str, Any] | None:
    """What `save_weights` wrote of the model; None in a file that has none."""
    try:
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata() or {}
        about = json.loads(metadata["model"]) if "model" in metadata else None
        return None if about is None else {**about, "classes": list(about["classes"])}
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} cannot be read: {str(error).splitlines()[0]}") from None


@runtime_checkable
class OwnNames(Protocol):
    """A model that knows its own weights by the names that published files give them."""

    def own_names(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A state dict by the model's names."""
        ...


def load_weights(model: nn.Module, file: Path, role: str, sha256: str | None = None) -> None:
    """Fill a model from a safetensors file, or a .pt or .pth that holds a state dict, alone or in a checkpoint.

    Args:
        model: what is filled, in place. Batch norm's count of batches, which torch before 0.4.1 did not write and
            nothing here reads, may be missing. Its method `own_names`, if it has one, says what the names in published
            files are in it, as that of `segmentation.SegmentationNetwork` does.
        file: where the weights are; see `weights_file`. Understood are a state dict, one under one of `WRAPPERS`, and
            `PREFIXES`, and a checkpoint of a run, of which the moving average is taken if there is one.
        role: what the model is to the user, for messages: "teacher".
        sha256: what the file's SHA-256 must be, in hexadecimal.

    Raises:
        UserError: the file is missing, unreadable or not the one that was meant, or is for another architecture; what
            differs is listed.
    """
    file = weights_file(file, role)
    if sha256:
        _require_digest(file, role, sha256)
    state = _read(file, role)
    if isinstance(model, OwnNames):
        state = model.own_names(state)
    own = model.state_dict()
    for name in own:
        if name.endswith(".num_batches_tracked"):
            state.setdefault(name, own[name])
    differing = [
        f"{name} is {list(state[name].shape)} in the file and {list(own[name].shape)} in the model"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    missing, unexpected = [n for n in own if n not in state], [n for n in state if n not in own]
    if missing or unexpected or differing:
        raise UserError(
            f"the {role} checkpoint {file} is of another architecture than --{role}.name, --{role}.arguments and the "
            f"data's classes make: {_some(missing, 'missing')}; {_some(unexpected, 'unexpected')}; "
            f"{_some(differing, 'of another shape')}"
        )
    model.load_state_dict(state)


def weights_file(given: Path, role: str) -> Path:
    """The file itself, or of a run's folder that of the network in this role.

    Raises:
        UserError: it is a folder without one.
    """
    if not given.is_dir():
        return given
    file = given / f"{role}.safetensors"
    if file.is_file():
        return file
    others = sorted(given.glob("*.safetensors")) + sorted(given.glob("checkpoints/*.pt"))[-1:]
    remedy = (
        f"give one of {', '.join(map(str, others))}" if others else "it is no run's folder, or of one that broke off"
    )
    raise UserError(f"--{role}.checkpoint {given} holds no {file.name}: {remedy}")


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _require_digest(file: Path, role: str, expected: str) -> None:
    try:
        digest = sha256_of(file)
    except OSError as error:
        raise UserError(f"--{role}.checkpoint {file} cannot be read: {reason(error)}") from None
    if digest != expected.lower():
        raise UserError(
            f"--{role}.checkpoint {file} has SHA-256 {digest}, not --{role}.sha256 {expected}: it is "
            "another file, or damaged; fetch it again"
        )


def _read(file: Path, role: str) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            content = load_file(file)
        else:
            with torch.serialization.safe_globals(INERT), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of sparse tensors, which are refused
                content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"--{role}.checkpoint {file}: there is no such file") from None
    except pickle.UnpicklingError:
        raise UserError(f"--{role}.checkpoint {file} cannot be read: {_refused(file)}") from None
    except OSError as error:
        why = reason(error) if error.strerror else "it is damaged"
        raise UserError(f"--{role}.checkpoint {file} cannot be read: {why}") from None
    except Exception:  # of a damaged file, torch and safetensors raise anything
        kind = "safetensors" if file.suffix == ".safetensors" else "torch's"
        raise UserError(f"--{role}.checkpoint {file} cannot be read: it is damaged, or no file of {kind}") from None
    learners = content.get("learners") if isinstance(content, dict) else None
    state = _of_run(learners, file, role) if isinstance(learners, dict) else _state_dict(content)
    if state is None:
        held = ", ".join(map(str, content))[:WIDTH] if isinstance(content, dict) else type(content).__name__
        raise UserError(
            f"--{role}.checkpoint {file} must hold a state dict, names to tensors, alone or under one of "
            f"{', '.join(WRAPPERS)}; it holds {printable(held) or 'nothing'}"
        )
    for name, value in state.items():
        if fault := _fault(name, value):
            shown = printable(str(name))[:WIDTH]
            raise UserError(f"--{role}.checkpoint {file}: {shown} {fault}: save plain weights under their names")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _fault(name: Any, value: Tensor) -> str | None:
    """What keeps a tensor from being weights, or its name from being a name."""
    if not isinstance(name, str):
        return f"is a name of type {type(name).__name__}, not text"
    if value.is_meta:
        return "is a meta tensor, without values"
    if value.layout != torch.strided or value.is_quantized:
        return "is a sparse or quantised tensor"
    return "is complex" if value.is_complex() else None


def _refused(file: Path) -> str:
    """What of a pickle is not plain data, and what to do."""
    try:
        with torch.serialization.safe_globals(INERT):
            foreign = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except Exception:  # not a zip file, as torch has written since 1.6, or a damaged one
        foreign = []
    if not foreign:
        return "it is damaged, or no file of torch's"
    return (
        f"besides tensors it holds Python objects ({', '.join(foreign)}), and making these can run any code: ask "
        "where it comes from for its state dict alone, best as safetensors"
    )


def _of_run(learners: dict[str, Any], file: Path, role: str) -> dict[str, Tensor] | None:
    """What a checkpoint of a run holds of a network, without what only helped its training; None if it is damaged."""
    learner = learners.get(role)
    if learner is None:
        raise UserError(
            f"--{role}.checkpoint {file} holds no {role}: its training was not under way there; "
            f"give its {role}.safetensors"
        )
    state = _state_dict(learner.get("average") or learner.get("model")) if isinstance(learner, dict) else None
    if state and all(name.startswith(_WITH_FEATURES) for name in state):
        inner = _WITH_FEATURES[0]
        state = {name.removeprefix(inner): value for name, value in state.items() if name.startswith(inner)}
    return state


def _state_dict(content: Any, depth: int = 0) -> dict[str, Tensor] | None:
    """The names and tensors in what a file holds, or None."""
    if not isinstance(content, dict) or not content or depth > MAX_DEPTH:
        return None
    if all(isinstance(value, Tensor) for value in content.values()):
        return dict(content)
    inner = next((content[name] for name in WRAPPERS if isinstance(content.get(name), dict)), None)
    return None if inner is None else _state_dict(inner, depth + 1)


def _some(names: list[str], what: str) -> str:
    if not names:
        return f"none {what}"
    return f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
