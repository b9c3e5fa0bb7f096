"""Which implementation runs: Triton on a GPU, PyTorch elsewhere."""

from typing import Literal, get_args

import torch

Backend = Literal["auto", "triton", "torch"]


def resolve_backend(backend: str, device: torch.device) -> Literal["torch"]:
    """The implementation that `backend` asks for on `device`.

    Raises:
        ValueError: `backend` is not one of "auto", "triton", "torch", or it is "triton", which this version lacks.
    """
    if backend not in get_args(Backend):
        raise ValueError(f"backend must be 'auto', 'triton' or 'torch', got {backend!r}")
    if backend == "triton":
        raise ValueError(f"backend='triton' is not in this version: use 'torch' or 'auto' (tensors on {device})")
    return "torch"
