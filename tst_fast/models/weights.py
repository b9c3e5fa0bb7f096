"""Weights in files, read without ever unpickling code."""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor, nn

from tst_fast.errors import UserError


def save_weights(model: nn.Module, file: Path, architecture: str) -> None:
    """Write a model's state dict, and nothing else, as safetensors with the architecture's name in the header."""
    temporary = file.with_name(file.name + ".tmp")
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    temporary.write_bytes(serialise(tensors, metadata={"architecture": architecture}))
    temporary.replace(file)


def load_weights(model: nn.Module, file: Path, role: str) -> None:
    """Fill a model from a safetensors file, or a .pt or .pth that holds a state dict.

    Args:
        model: what is filled, in place.
        file: where the weights are.
        role: what the model is to the user, for messages: "teacher".

    Raises:
        UserError: the file is missing or unreadable, or is for another architecture; what differs is listed.
    """
    state = _read(file, role)
    own = model.state_dict()
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


def _read(file: Path, role: str) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"--{role}.checkpoint {file}: there is no such file") from None
    except (OSError, SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(f"--{role}.checkpoint {file} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"--{role}.checkpoint {file} must hold a state dict, names to tensors, and nothing else")
    return state


def _some(names: list[str], what: str) -> str:
    if not names:
        return f"none {what}"
    return f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
