"""The Triton kernels as functions that autograd knows, and as operators that `torch.compile` and `torch.export` know.

In eager mode a `torch.autograd.Function` costs half as much as a registered operator; tracing needs the operator. Both
have the same gradients and the same refusals: there are first derivatives, backward, and no others. Only PyTorch is
imported here: Triton is not before a kernel runs.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

_NO_FORWARD_MODE = "tst_kernels has no forward-mode derivatives in Triton: use reverse mode, such as torch.func.vjp"
_NO_SECOND_DERIVATIVES = "tst_kernels has no second derivatives in Triton: use backend='torch', which has"


_ANY = inspect.signature(lambda *arguments: None)


class _Function(torch.autograd.Function):
    """Without forward mode; `torch.vmap` becomes a larger batch, since each image is a matter of its own."""

    shared: tuple[int, ...] = ()
    """Which arguments are tensors that all images share."""

    def __init_subclass__(cls) -> None:
        cls.forward.__signature__ = _ANY  # to which torch binds the arguments of each call, in no time

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> None:
        raise NotImplementedError(_NO_FORWARD_MODE)

    @classmethod  # torch takes it from the class, as it would a static method
    def vmap(cls, info: Any, in_dims: Sequence[int | None], *arguments: Any) -> tuple[Any, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        size = info.batch_size
        folded = list(arguments)
        for position, (value, dimension) in enumerate(zip(arguments, in_dims, strict=True)):
            if position in cls.shared and dimension is not None:
                raise NotImplementedError("mean and std must be the same for all of a vmap: call once for each of them")
            if isinstance(value, Tensor) and position not in cls.shared:
                moved = value.expand(size, *value.shape) if dimension is None else value.movedim(dimension, 0)
                folded[position] = moved.flatten(0, 1)
        results = cls.apply(*folded)
        if isinstance(results, Tensor):
            return _unfolded(results, size), 0
        return tuple(_unfolded(result, size) for result in results), (0,) * len(results)


def _unfolded(result: Tensor, size: int) -> Tensor:
    return result.unflatten(0, (size, result.shape[0] // size))


def _refuse(ctx: Any, *gradients: Tensor) -> None:
    raise NotImplementedError(_NO_SECOND_DERIVATIVES)


def _save_nothing(ctx: Any, inputs: tuple, output: Any) -> None:
    pass


def _is_traced(tensor: Tensor) -> bool:
    """Whether there is no data for a kernel to work on: under `torch.compile`, fake or meta tensors, and the like."""
    return (
        torch.compiler.is_compiling()
        or type(tensor) not in (Tensor, torch.nn.Parameter)
        or tensor.device.type == "meta"
    )


def _is_transformed() -> bool:
    """Whether something is to be made of a gradient's own computation: its gradient, or a batch of it."""
    return torch.is_grad_enabled() or torch._C._are_functorch_transforms_active()


def _mix(
    images,
    operations,
    levels,
    gates,
    centres,
    sizes,
    device_constants,
    constants,
    dtype,
    channels_last,
    geometry,
    out=None,
):
    """The mix of [B, C, H, W] images: the result, and parameters, families, mean grey and tables for the backward pass.

    `constants` are nine numbers, each channel's scale, shift and fill; `device_constants`, float32 [9] on the device,
    takes their place where they are known there only.
    """
    from tst_kernels.fused import launch

    nine = constants if device_constants is None else device_constants
    draw = (operations, levels, gates, centres)
    return launch.mix_forward(images, draw, nine, dtype, channels_last, geometry, sizes, out)


def _save_mix(ctx: Any, inputs: tuple, output: tuple) -> None:
    images, operations, levels, _, _, sizes, device_constants, constants, _, _, geometry = inputs
    _, *saved = output
    ctx.save_for_backward(images, operations, levels, *saved, sizes, device_constants)
    ctx.constants, ctx.geometry = constants, geometry
    ctx.mark_non_differentiable(*saved)
    ctx.set_materialize_grads(False)


def _mix_gradients(ctx: Any, gradient: Tensor | None, *of_saved: None) -> tuple[Tensor | None, ...]:
    if gradient is None:
        return (None,) * 11
    needs_images = ctx.needs_input_grad[0]
    gradients = mix_backward(gradient, *ctx.saved_tensors, ctx.constants, ctx.geometry, needs_images)
    of_levels, of_gates, of_images = gradients
    return of_images if needs_images else None, None, of_levels, of_gates, *(None,) * 7


def _mix_backward(gradient, images, operations, levels, *rest):
    """Gradients of the mix to levels, gates and, where `needs_images` says so, images."""
    from tst_kernels.fused import launch

    *saved, sizes, device_constants, constants, geometry, needs_images = rest
    nine = constants if device_constants is None else device_constants
    return launch.mix_backward(gradient, images, (operations, levels), saved, nine, needs_images, geometry, sizes)


class _Mix(_Function):
    shared = (6,)
    forward = staticmethod(_mix)
    setup_context = staticmethod(_save_mix)
    backward = staticmethod(_mix_gradients)


class _MixBackward(_Function):
    shared = (9,)
    forward = staticmethod(_mix_backward)
    setup_context = staticmethod(_save_nothing)
    backward = staticmethod(_refuse)


_mix_operator = custom_op(
    "fused_augmentation::mix",
    _mix,
    mutates_args=(),
    schema="(Tensor images, Tensor operations, Tensor levels, Tensor gates, Tensor? centres, Tensor? sizes, "
    "Tensor? device_constants, float[] constants, ScalarType dtype, bool channels_last, bool geometry) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
_mix_operator.register_autograd(_mix_gradients, setup_context=_save_mix)


@_mix_operator.register_fake
def _(images, operations, levels, gates, centres, sizes, device_constants, constants, dtype, channels_last, geometry):
    batch, slots = operations.shape
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return (
        torch.empty(images.shape, dtype=dtype, device=images.device, memory_format=layout),
        images.new_empty((batch, slots, 8), dtype=torch.float32),
        images.new_empty((batch, slots), dtype=torch.int32),
        images.new_empty(batch, dtype=torch.float32),
        images.new_empty((batch, 2, 3, 256), dtype=torch.uint8),
    )


_mix_backward_operator = custom_op(
    "fused_augmentation::mix_backward",
    _mix_backward,
    mutates_args=(),
    schema="(Tensor gradient, Tensor images, Tensor operations, Tensor levels, Tensor parameters, Tensor families, "
    "Tensor mean_grey, Tensor tables, Tensor? sizes, Tensor? device_constants, float[] constants, bool geometry, "
    "bool needs_images) -> (Tensor, Tensor, Tensor)",
)
_mix_backward_operator.register_autograd(_refuse)


@_mix_backward_operator.register_fake
def _(gradient, images, operations, levels, parameters, *rest):
    shape = operations.shape
    of_images = torch.empty_like(images) if rest[-1] else parameters.new_empty(0)
    return parameters.new_empty(shape), parameters.new_empty(shape), of_images


def mix(images: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    """As `_mix`, with gradients to levels, gates and floating-point images."""
    return (_mix_operator if _is_traced(images) else _Mix.apply)(images, *arguments)


def mix_into(out: Tensor, *arguments: Any) -> Tensor:
    """As `mix`, without gradients, written to a tensor of any strides, which is returned."""
    if _is_traced(out) or _is_transformed():
        return out.copy_(mix(*arguments)[0])
    return _mix(*arguments, out=out)[0]


def mix_backward(gradient: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    """As `_mix_backward`."""
    if _is_traced(gradient):
        return _mix_backward_operator(gradient, *arguments)
    return (_MixBackward.apply if _is_transformed() else _mix_backward)(gradient, *arguments)


def _warp(images, theta, bilinear, fill):
    """[B, C, H, W] resampled at float32 theta [B, 2, 3]."""
    from tst_kernels.fused import launch

    return launch.warp_forward(images, theta, bilinear, fill)


def _save_warp(ctx: Any, inputs: tuple, output: Tensor) -> None:
    images, theta, ctx.bilinear, ctx.fill = inputs
    ctx.save_for_backward(images, theta)


def _warp_gradients(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, ...]:
    needs = ctx.needs_input_grad[:2]
    gradients = warp_backward(*gradient, *ctx.saved_tensors, ctx.bilinear, ctx.fill, *needs)
    of_images, of_theta = (value if needed else None for value, needed in zip(gradients, needs, strict=True))
    return of_images, of_theta, None, None


def _warp_backward(gradient, images, theta, bilinear, fill, needs_images, needs_theta):
    """Gradients of the warp to images and theta, each empty unless needed."""
    from tst_kernels.fused import launch

    return launch.warp_backward(gradient, images, theta, bilinear, fill, (needs_images, needs_theta))


class _Warp(_Function):
    forward = staticmethod(_warp)
    setup_context = staticmethod(_save_warp)
    backward = staticmethod(_warp_gradients)


class _WarpBackward(_Function):
    forward = staticmethod(_warp_backward)
    setup_context = staticmethod(_save_nothing)
    backward = staticmethod(_refuse)


_warp_operator = custom_op(
    "fused_augmentation::warp",
    _warp,
    mutates_args=(),
    schema="(Tensor images, Tensor theta, bool bilinear, Scalar fill) -> Tensor",
)
_warp_operator.register_autograd(_warp_gradients, setup_context=_save_warp)


@_warp_operator.register_fake
def _(images, theta, bilinear, fill):
    return torch.empty_like(images)


_warp_backward_operator = custom_op(
    "fused_augmentation::warp_backward",
    _warp_backward,
    mutates_args=(),
    schema="(Tensor gradient, Tensor images, Tensor theta, bool bilinear, Scalar fill, bool needs_images, "
    "bool needs_theta) -> (Tensor, Tensor)",
)
_warp_backward_operator.register_autograd(_refuse)


@_warp_backward_operator.register_fake
def _(gradient, images, theta, bilinear, fill, needs_images, needs_theta):
    of_images = torch.empty_like(images) if needs_images else images.new_empty(0)
    return of_images, theta.new_empty(theta.shape if needs_theta else 0)


def warp(images: Tensor, theta: Tensor, bilinear: bool, fill: float) -> Tensor:
    """As `_warp`, with gradients to floating-point images and, if bilinear, to theta."""
    return (_warp_operator if _is_traced(images) else _Warp.apply)(images, theta, bilinear, fill)


def warp_backward(gradient: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    """As `_warp_backward`."""
    if _is_traced(gradient):
        return _warp_backward_operator(gradient, *arguments)
    return (_WarpBackward.apply if _is_transformed() else _warp_backward)(gradient, *arguments)
