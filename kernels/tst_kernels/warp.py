"""One affine warp for images and label maps, usable alone."""

import math
from numbers import Real
from typing import Literal

import torch
from torch import Tensor

from tst_kernels import operators, reference
from tst_kernels.backends import Backend, resolve_backend

Interpolation = Literal["bilinear", "nearest"]


def warp(
    images: Tensor,
    theta: Tensor,
    interpolation: Interpolation = "bilinear",
    fill: float = 0.0,
    backend: Backend = "auto",
) -> Tensor:
    """Resample images or label maps under one affine map each.

    Follows `torch.nn.functional.affine_grid` and `grid_sample` with `align_corners=False`; beyond the border is `fill`.

    Args:
        images: [B, C, H, W], or label maps [B, H, W]. "bilinear" needs a floating dtype; "nearest" takes any
            but complex, and rounds half up, as PIL.
        theta: floating [B, 2, 3], output position to input position, normalised coordinates.
        interpolation: "bilinear" or "nearest".
        fill: the value beyond the border, in the units of `images`; "nearest" keeps it exactly.
        backend: "triton", "torch" or "auto".

    Returns:
        The shape and dtype of `images`; differentiable in `theta` (bilinear) and in floating `images`. A theta with a
        NaN makes its image NaN ("bilinear") or all `fill` ("nearest").

    Raises:
        TypeError: what is no tensor, or a dtype that does not fit.
        ValueError: shapes or devices that do not agree, no images, a fill that the dtype of `images` cannot hold, an
            unknown interpolation or backend.
    """
    if interpolation not in ("bilinear", "nearest"):
        raise ValueError(f"interpolation must be 'bilinear' or 'nearest', got {interpolation!r}")
    for name, given in (("images", images), ("theta", theta)):
        if not isinstance(given, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(given).__name__}")
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise ValueError(f"images must be [B, C, H, W] or [B, H, W] and not empty, got {list(images.shape)}")
    if theta.shape != (images.shape[0], 2, 3):
        raise ValueError(f"theta must be [{images.shape[0]}, 2, 3] for these images, got {list(theta.shape)}")
    if not theta.is_floating_point():
        raise TypeError(f"theta must be floating point, got {theta.dtype}")
    if theta.device != images.device:
        raise ValueError(f"theta must be on {images.device}, as the images, got {theta.device}: move one of them")
    if interpolation == "bilinear" and not images.is_floating_point():
        raise TypeError(f"images must be floating for 'bilinear', got {images.dtype}: convert them, or use 'nearest'")
    if images.is_complex():
        raise TypeError(f"images must be real, got {images.dtype}: warp real and imaginary parts one by one")
    _check_fill(fill, images.dtype)
    x = images.unsqueeze(1) if images.ndim == 3 else images
    # Labels are only copied: their dtype is no limit to the kernel.
    if resolve_backend(backend, images.device, *([images.dtype] if interpolation == "bilinear" else [])) == "triton":
        return operators.warp(x, theta.float(), interpolation == "bilinear", fill).view_as(images)
    if interpolation == "bilinear":
        compute = torch.promote_types(images.dtype, torch.float32)
        warped = reference.affine_warp(x.to(compute), theta.to(compute), "bilinear", fill).to(images.dtype)
    else:
        warped = reference.affine_warp(x, theta.to(torch.promote_types(theta.dtype, torch.float32)), "nearest", fill)
    return warped.view_as(images)


def _check_fill(fill: float, dtype: torch.dtype) -> None:
    if not isinstance(fill, Real):
        raise TypeError(f"fill must be a number, got {type(fill).__name__}")
    if dtype.is_floating_point:
        highest = torch.finfo(dtype).max
        if highest < abs(fill) < math.inf:  # infinity itself can be held
            raise ValueError(f"fill must be in {-highest:g}..{highest:g} for images of {dtype}, got {fill:g}")
        return
    lowest, highest = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
    if not lowest <= fill <= highest or fill != int(fill):
        raise ValueError(f"fill must be a whole number in {lowest}..{highest} for images of {dtype}, got {fill}")
