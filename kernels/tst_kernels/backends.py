"""Which implementation runs: Triton on a GPU, PyTorch elsewhere."""

import importlib.util
import os
from typing import Literal, get_args

import torch

Backend = Literal["auto", "triton", "torch"]

TRITON_INSTALLED: bool = importlib.util.find_spec("triton") is not None
TRITON_DTYPES = (torch.uint8, torch.float32, torch.float16, torch.bfloat16)
"""What the kernels compute with: float32 at most."""


def resolve_backend(backend: str, device: torch.device, *dtypes: torch.dtype) -> Literal["torch", "triton"]:
    """The implementation that `backend` asks for on `device`.

    "auto" is Triton for tensors on a GPU, CUDA's or ROCm's, where Triton is installed and no dtype is wider than
    float32; else torch.

    Raises:
        ValueError: `backend` is not one of "auto", "triton", "torch", or it is "triton" where that cannot run.
    """
    if backend not in get_args(Backend):
        raise ValueError(f"backend must be 'auto', 'triton' or 'torch', got {backend!r}")
    if backend == "torch":
        return "torch"
    is_wide = not all(dtype in TRITON_DTYPES for dtype in dtypes)
    if backend == "auto":
        return "triton" if device.type == "cuda" and TRITON_INSTALLED and not is_wide else "torch"
    if not TRITON_INSTALLED:
        raise ValueError("backend='triton' needs Triton, which is not installed: pip install triton, or use 'torch'")
    if is_wide:
        raise ValueError(f"backend='triton' computes in float32, got {', '.join(map(str, dtypes))}: use 'torch'")
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(
            f"backend='triton' needs tensors on a GPU, got {device}: move them, use 'torch' or 'auto', or set "
            "TRITON_INTERPRET=1 before Python starts, to run the kernels slowly on the CPU"
        )
    return "triton"
