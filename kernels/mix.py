"""The public face of the augmentation: `mix` a whole draw, or `apply` one operation."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kernels import operators, reference
from kernels.backends import Backend, resolve_backend
from kernels.draw import Draw
from kernels.operations import find_operation

ChannelValues = Sequence[float] | Tensor


def mix(
    images: Tensor,
    draw: Draw,
    mean: ChannelValues | None = None,
    std: ChannelValues | None = None,
    dtype: torch.dtype | None = None,
    backend: Backend = "auto",
    compile: bool = False,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Augment a batch: x + sum_k g_k (T_k(x; level_k) - x), then normalise (TST, DESIGN section 2).

    Args:
        images: uint8 [B, H, W, C] or [B, C, H, W], or floating [B, C, H, W] in 0..1; C is 1 or 3; any strides. Or
            packed, uint8 [B, H, W, 4], whose fourth byte is ignored: the fastest to load. A uint8 batch whose last
            dimension is 3 is read as [B, H, W, 3]; else one whose second is 1 or 3 as [B, C, H, W].
        draw: the operations, levels and gates, on the device of `images`. Gradients reach `draw.levels`, `draw.gates`
            and floating `images`.
        mean: C values in 0..1, subtracted; also what Cutout fills with. None: nothing is subtracted, and Cutout
            fills with 0.5.
        std: C values, divided by after. None: 1.
        dtype: floating dtype of the result; None: that of floating images, float32 for uint8. Arithmetic is in
            float32, or float64 where images or `dtype` are.
        backend: "triton", "torch" or "auto" (Triton for GPU tensors where it is available, else torch).
        compile: with the torch backend, run the pixel arithmetic through `torch.compile`: slow at first, then a few
            times faster.
        memory_format: of the result: torch.contiguous_format or torch.channels_last.

    Returns:
        [B, C, H, W], in 0..1 before mean and std where single operations are concerned: each operation's result is
        clamped, the sum of the mix is not.

    Raises:
        TypeError: a dtype that is not listed above.
        ValueError: shapes or devices that do not agree, an unknown memory format, or a backend that is unknown or
            cannot run here.
    """
    pixels = _channels_first(images)
    _check_draw(draw, images)
    if dtype is not None and not dtype.is_floating_point:
        raise TypeError(f"dtype must be floating point, got {dtype}")
    if memory_format not in (torch.contiguous_format, torch.channels_last):
        raise ValueError(f"memory_format must be contiguous_format or channels_last, got {memory_format}")
    result_dtype = dtype or (images.dtype if images.is_floating_point() else torch.float32)
    if resolve_backend(backend, images.device, images.dtype, result_dtype) == "triton":
        return _mix_in_triton(pixels, draw, mean, std, result_dtype, memory_format == torch.channels_last)
    compute = torch.float64 if torch.float64 in (images.dtype, dtype) else torch.float32
    x = pixels.to(compute)
    x = x * 255 if images.is_floating_point() else x.contiguous()
    channels = x.shape[1]
    fill = torch.full((channels,), 127.5) if mean is None else 255 * _per_channel("mean", mean, channels)
    total = reference.mix(x, draw, fill.to(x.device, compute), compile)
    return _normalise(total, mean, std).to(result_dtype, memory_format=memory_format)


def apply(
    images: Tensor,
    operation: str,
    level: float | Tensor | None = None,
    centres: Tensor | None = None,
    backend: Backend = "auto",
    compile: bool = False,
) -> Tensor:
    """Apply one operation in full to a batch.

    Args:
        images: as for `mix`.
        operation: a name in `OPERATIONS`.
        level: a number for all images or floating [B], in [-1, 1] for a signed operation, else [0, 1]; None for an
            operation without a level.
        centres: floating [B, 2], (y, x) in 0..1: Cutout's centre; None is the middle.
        backend: as for `mix`.
        compile: as for `mix`.

    Returns:
        floating [B, C, H, W] in 0..1, differentiable in `level` and in floating `images`.

    Raises:
        TypeError: a dtype that does not fit.
        ValueError: an unknown operation (the message offers the nearest name), a level missing, superfluous or out of
            range, shapes that do not agree.
    """
    found = find_operation(operation)
    if found.has_level and level is None:
        raise ValueError(f"{found.name} needs a level in {'[-1, 1]' if found.signed else '[0, 1]'}")
    if not found.has_level and level is not None:
        raise ValueError(f"{found.name} has no level: leave it out")
    batch, device = images.shape[0], images.device
    if isinstance(level, Tensor):
        if level.ndim > 1 or level.numel() not in (1, batch):
            raise ValueError(f"level must be a number or [{batch}], one for each image, got {list(level.shape)}")
        levels = level.to(device).expand(batch).unsqueeze(1)
    else:
        precision = torch.promote_types(images.dtype, torch.float32) if images.is_floating_point() else torch.float32
        levels = torch.full((batch, 1), float(level or 0), dtype=precision, device=device)
    codes = torch.full((batch, 1), found.code, dtype=torch.int32, device=device)
    return mix(images, Draw(codes, levels, torch.ones_like(levels), centres), backend=backend, compile=compile)


def _channels_first(images: Tensor) -> Tensor:
    """A [B, C, H, W] view of any accepted layout."""
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor, got {type(images).__name__}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"images must be uint8 or floating point, got {images.dtype}")
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"images must be four-dimensional and not empty, got {list(images.shape)}")
    if images.dtype == torch.uint8 and images.shape[3] == 3:
        return images.permute(0, 3, 1, 2)
    if images.shape[1] in (1, 3):
        return images
    if images.dtype == torch.uint8 and images.shape[3] == 1:
        return images.permute(0, 3, 1, 2)
    if images.dtype == torch.uint8 and images.shape[3] == 4:
        return images[..., :3].permute(0, 3, 1, 2)
    expected = "[B, H, W, C], [B, C, H, W] or packed [B, H, W, 4]" if images.dtype == torch.uint8 else "[B, C, H, W]"
    raise ValueError(f"{images.dtype} images must be {expected} with 1 or 3 channels, got {list(images.shape)}")


def _check_draw(draw: Draw, images: Tensor) -> None:
    if not isinstance(draw, Draw):
        raise TypeError(f"draw must be a kernels.Draw, got {type(draw).__name__}")
    if draw.operations.shape[0] != images.shape[0]:
        raise ValueError(f"the draw is for {draw.operations.shape[0]} images, the batch has {images.shape[0]}")
    if draw.operations.device != images.device:
        raise ValueError(f"the draw is on {draw.operations.device}, the images on {images.device}: move one of them")


def _per_channel(name: str, values: ChannelValues, channels: int) -> Tensor:
    tensor = torch.as_tensor(values, dtype=torch.float64 if not isinstance(values, Tensor) else None)
    if tensor.shape != (channels,):
        raise ValueError(f"{name} must be {channels} values, one for each channel, got shape {list(tensor.shape)}")
    return tensor


def _mix_in_triton(
    pixels: Tensor,
    draw: Draw,
    mean: ChannelValues | None,
    std: ChannelValues | None,
    dtype: torch.dtype,
    channels_last: bool,
) -> Tensor:
    channels = pixels.shape[1]
    values: list[float] = []
    on_device = None
    if isinstance(mean, Tensor) or isinstance(std, Tensor):  # perhaps on the device: their values stay there
        on_device = _constants_on(pixels.device, mean, std, channels)
    else:
        values = _constants(mean, std, channels)
    levels, gates = draw.levels.float(), draw.gates.float()
    return operators.mix(pixels, draw.operations, levels, gates, draw.centres, values, on_device, dtype, channels_last)[
        0
    ]


def _constants(mean: Sequence[float] | None, std: Sequence[float] | None, channels: int) -> list[float]:
    """Three channels' scale and shift, which turn 0..255 into the result, and Cutout's fill before them."""
    for name, values in (("mean", mean), ("std", std)):
        if values is not None and len(values) != channels:
            raise ValueError(f"{name} must be {channels} values, one for each channel, got {len(values)}")
    centre = [0.0] * channels if mean is None else [float(value) for value in mean]
    deviation = [1.0] * channels if std is None else [float(value) for value in std]
    scale = [1 / (255 * value) for value in deviation]
    shift = [-value / by for value, by in zip(centre, deviation, strict=True)]
    fill = [127.5] * channels if mean is None else [255 * value for value in centre]
    return [value for values in (scale, shift, fill) for value in (values * 3)[:3]]


def _constants_on(device: torch.device, mean: ChannelValues | None, std: ChannelValues | None, channels: int) -> Tensor:
    """The same where one of them is a tensor: float32 [9] on the device."""
    one = torch.ones(channels, device=device)
    centre = 0 * one if mean is None else _per_channel("mean", mean, channels).to(one)
    deviation = one if std is None else _per_channel("std", std, channels).to(one)
    fill = 127.5 * one if mean is None else 255 * centre
    return torch.cat([value.expand(3) for value in (1 / (255 * deviation), -centre / deviation, fill)]).detach()


def _normalise(total: Tensor, mean: ChannelValues | None, std: ChannelValues | None) -> Tensor:
    """From 0..255 to 0..1, minus mean, over std."""
    channels = total.shape[1]
    deviation = torch.ones(channels, dtype=torch.float64) if std is None else _per_channel("std", std, channels)
    scale = (1 / (255 * deviation)).to(total)
    if mean is None:
        return total * scale[:, None, None]
    shift = (-_per_channel("mean", mean, channels).to(deviation) / deviation).to(total)
    return total * scale[:, None, None] + shift[:, None, None]
