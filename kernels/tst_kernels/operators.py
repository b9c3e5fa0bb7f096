"""The Triton kernels as PyTorch operators, so that autograd, `torch.compile` and CUDA graphs take them as their own.

Only PyTorch is imported here: Triton is not before an operator runs.
"""

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from tst_kernels.normalisation import on_device


def _constants(values: list[float], tensor: Tensor | None, device: torch.device) -> Tensor:
    return on_device(tuple(values), device, torch.float32) if tensor is None else tensor


@custom_op(
    "fused_augmentation::mix",
    mutates_args=(),
    schema="(Tensor images, Tensor operations, Tensor levels, Tensor gates, Tensor? centres, float[] constants, "
    "Tensor? device_constants, ScalarType dtype, bool channels_last) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def mix(images, operations, levels, gates, centres, constants, device_constants, dtype, channels_last):
    """The mix of [B, C, H, W] images: the result, and parameters, families, mean grey and tables for the backward pass.

    `constants` are nine numbers, each channel's scale, shift and fill; `device_constants`, float32 [9] on the device,
    takes their place where they are known there only.
    """
    from tst_kernels.fused import launch

    nine = _constants(constants, device_constants, images.device)
    return launch.mix_forward(images, (operations, levels, gates, centres), nine, dtype, channels_last)


@mix.register_fake
def _(images, operations, levels, gates, centres, constants, device_constants, dtype, channels_last):
    batch, slots = operations.shape
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return (
        torch.empty(images.shape, dtype=dtype, device=images.device, memory_format=layout),
        images.new_empty((batch, slots, 8), dtype=torch.float32),
        images.new_empty((batch, slots), dtype=torch.int32),
        images.new_empty(batch, dtype=torch.float32),
        images.new_empty((batch, 2, 3, 256), dtype=torch.uint8),
    )


@custom_op(
    "fused_augmentation::mix_backward",
    mutates_args=(),
    schema="(Tensor gradient, Tensor images, Tensor operations, Tensor levels, Tensor parameters, Tensor families, "
    "Tensor mean_grey, Tensor tables, float[] constants, Tensor? device_constants, bool needs_images) "
    "-> (Tensor, Tensor, Tensor)",
)
def mix_backward(gradient, images, operations, levels, *rest):
    """Gradients of the mix to levels, gates and, where `needs_images` says so, images."""
    from tst_kernels.fused import launch

    *saved, constants, device_constants, needs_images = rest
    nine = _constants(constants, device_constants, images.device)
    return launch.mix_backward(gradient, images, (operations, levels), saved, nine, needs_images)


@mix_backward.register_fake
def _(gradient, images, operations, levels, parameters, families, mean_grey, tables, constants, on_device, needs):
    shape = operations.shape
    of_images = torch.empty_like(images) if needs else parameters.new_empty(0)
    return parameters.new_empty(shape), parameters.new_empty(shape), of_images


def _save_mix(ctx: Any, inputs: tuple, output: tuple) -> None:
    images, operations, levels, _, _, constants, device_constants, _, _ = inputs
    _, *saved = output
    ctx.save_for_backward(images, operations, levels, *saved, device_constants)
    ctx.constants = constants
    ctx.mark_non_differentiable(*saved)
    ctx.set_materialize_grads(False)


def _mix_gradients(ctx: Any, gradient: Tensor | None, *of_saved: None) -> tuple[Tensor | None, ...]:
    if gradient is None:
        return (None,) * 9
    *tensors, device_constants = ctx.saved_tensors
    of_levels, of_gates, of_images = mix_backward(
        gradient, *tensors, ctx.constants, device_constants, ctx.needs_input_grad[0]
    )
    return of_images if ctx.needs_input_grad[0] else None, None, of_levels, of_gates, *(None,) * 5


mix.register_autograd(_mix_gradients, setup_context=_save_mix)


@custom_op(
    "fused_augmentation::warp",
    mutates_args=(),
    schema="(Tensor images, Tensor theta, bool bilinear, float fill) -> Tensor",
)
def warp(images, theta, bilinear, fill):
    """[B, C, H, W] resampled at float32 theta [B, 2, 3]."""
    from tst_kernels.fused import launch

    return launch.warp_forward(images, theta, bilinear, fill)


@warp.register_fake
def _(images, theta, bilinear, fill):
    return torch.empty_like(images)


@custom_op(
    "fused_augmentation::warp_backward",
    mutates_args=(),
    schema="(Tensor gradient, Tensor images, Tensor theta, bool bilinear, float fill, bool needs_images, "
    "bool needs_theta) -> (Tensor, Tensor)",
)
def warp_backward(gradient, images, theta, bilinear, fill, needs_images, needs_theta):
    """Gradients of the warp to images and theta, each empty unless needed."""
    from tst_kernels.fused import launch

    return launch.warp_backward(gradient, images, theta, bilinear, fill, (needs_images, needs_theta))


@warp_backward.register_fake
def _(gradient, images, theta, bilinear, fill, needs_images, needs_theta):
    of_images = torch.empty_like(images) if needs_images else images.new_empty(0)
    return of_images, theta.new_empty(theta.shape if needs_theta else 0)


def _save_warp(ctx: Any, inputs: tuple, output: Tensor) -> None:
    images, theta, ctx.bilinear, ctx.fill = inputs
    ctx.save_for_backward(images, theta)


def _warp_gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    images, theta = ctx.saved_tensors
    needs = ctx.needs_input_grad[:2]
    gradients = warp_backward(gradient, images, theta, ctx.bilinear, ctx.fill, *needs)
    of_images, of_theta = (value if needed else None for value, needed in zip(gradients, needs, strict=True))
    return of_images, of_theta, None, None


warp.register_autograd(_warp_gradients, setup_context=_save_warp)
