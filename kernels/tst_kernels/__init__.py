"""Differentiable, fused image augmentation: torch and Triton, nothing else of the project.

>>> import torch
>>> from tst_kernels import OPERATIONS, apply
>>> image = torch.rand(1, 3, 32, 32)
>>> level = torch.tensor([0.5], requires_grad=True)
>>> apply(image, "Rotate", level).mean().backward()   # gradients reach the level
"""

from tst_kernels.draw import Draw
from tst_kernels.geometry import box_mask, compose, erased, invert, warp_boxes
from tst_kernels.mix import apply, mix, normalise
from tst_kernels.operations import OPERATIONS, Family, Operation
from tst_kernels.warp import warp

__version__ = "0.1.0"

__all__ = [
    "OPERATIONS",
    "Draw",
    "Family",
    "Operation",
    "apply",
    "box_mask",
    "compose",
    "erased",
    "invert",
    "mix",
    "normalise",
    "warp",
    "warp_boxes",
]
