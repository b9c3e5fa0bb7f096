"""The public face of the augmentation: `mix` a whole draw, `apply` one operation, or only `normalise`."""

from numbers import Real

import torch
from torch import Tensor

from tst_kernels import operators, reference
from tst_kernels.backends import Backend, resolve_backend
from tst_kernels.draw import Draw, are_values_known, check_sizes
from tst_kernels.normalisation import ChannelValues, constants, constants_of_tensors, filled
from tst_kernels.operations import Operation, find_operation


def mix(
    images: Tensor,
    draw: Draw,
    mean: ChannelValues | None = None,
    std: ChannelValues | None = None,
    dtype: torch.dtype | None = None,
    backend: Backend = "auto",
    compile: bool = False,
    memory_format: torch.memory_format = torch.contiguous_format,
    out: Tensor | None = None,
    geometry: bool = True,
    sizes: Tensor | None = None,
) -> Tensor:
    """Augment a batch: x + sum_k g_k (T_k(x; level_k) - x), then normalise.

    All operations see the image itself, and their changes add up (Shao et al., IJCAI 2023, arXiv 2212.05422).

    NaN comes out where NaN went in, on both backends. A gate that is not finite makes its whole image NaN, and so does
    a level where the operation has one. A pixel that is NaN stays NaN, and so become those that read it: its
    neighbours under the warps and Sharpness, and under Contrast the whole image; AutoContrast and Equalize count it as
    0 in their histograms. Infinite pixels follow the same arithmetic, in which infinity minus infinity is NaN.

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
        out: floating [B, C, H, W] of any strides, apart from the images in memory, that the result is written to, such
            as half of a larger batch. It has its own dtype and memory format, and no gradient.
        geometry: False leaves out the warps, at no cost: for those who move an image with its boxes or labels, by
            `compose` and `warp`.
        sizes: integer [B, 2], height and width of each picture, in pixels, where pictures of several sizes lie at the
            top left of one canvas; None: each fills it. Statistics, borders and Cutout are then those of the picture,
            and what becomes of the rest is undefined, NaN included. With `geometry=False` alone.

    Returns:
        [B, C, H, W], in 0..1 before mean and std where single operations are concerned: each operation's result is
        clamped, the sum of the mix is not.

    Raises:
        TypeError: a type or dtype that is not listed above.
        ValueError: shapes or devices that do not agree, an unknown memory format, `out` where a gradient is wanted, or
            a backend that is unknown or cannot run here.
    """
    pixels = _channels_first(images)
    _check_draw(draw, images)
    if out is not None:
        dtype = _checked_out(out, pixels, dtype, draw.levels, draw.gates)
    compute, result_dtype = _dtypes(images, dtype)
    _check_memory_format(memory_format)
    if sizes is not None:
        _check_sizes(sizes, pixels, geometry)
    if resolve_backend(backend, images.device, images.dtype, result_dtype) == "triton":
        channels_last = memory_format == torch.channels_last
        return _mix_in_triton(pixels, draw, mean, std, result_dtype, channels_last, out, geometry, sizes)
    x = _eight_bit_units(pixels, compute)
    scale, shift, fill = _scale_shift_fill(x, mean, std)
    total = reference.mix(x, draw, fill.flatten(), compile, geometry, sizes)
    normalised = reference.compiled(_normalised) if compile else _normalised
    return normalised(total, scale, shift, result_dtype, memory_format, out)


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
        TypeError: a type or dtype that does not fit.
        ValueError: an unknown operation (the message offers the nearest name), a level missing, superfluous or out of
            range, shapes that do not agree.
    """
    found = find_operation(operation)
    if found.has_level and level is None:
        raise ValueError(f"{found.name} needs a level in {'[-1, 1]' if found.signed else '[0, 1]'}")
    if not found.has_level and level is not None:
        raise ValueError(f"{found.name} has no level: leave it out")
    batch, device = _channels_first(images).shape[0], images.device
    _check_level(found, level)
    if isinstance(level, Tensor):
        if level.ndim > 1 or level.numel() not in (1, batch):
            raise ValueError(f"level must be a number or [{batch}], one for each image, got {list(level.shape)}")
        levels = level.to(device).expand(batch).unsqueeze(1)
    else:
        precision = torch.promote_types(images.dtype, torch.float32) if images.is_floating_point() else torch.float32
        levels = torch.full((batch, 1), float(level or 0), dtype=precision, device=device)
    codes = torch.full((batch, 1), found.code, dtype=torch.int32, device=device)
    return mix(images, Draw(codes, levels, torch.ones_like(levels), centres), backend=backend, compile=compile)


def normalise(
    images: Tensor,
    mean: ChannelValues | None = None,
    std: ChannelValues | None = None,
    dtype: torch.dtype | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
    out: Tensor | None = None,
) -> Tensor:
    """What `mix` makes of images that nothing is applied to; arguments, result and errors as there."""
    pixels = _channels_first(images)
    if out is not None:
        dtype = _checked_out(out, pixels, dtype)
    compute, result_dtype = _dtypes(images, dtype)
    _check_memory_format(memory_format)
    x = _eight_bit_units(pixels, compute)
    scale, shift, _ = _scale_shift_fill(x, mean, std)
    return _normalised(x, scale, shift, result_dtype, memory_format, out)


def _normalised(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
    out: Tensor | None,
) -> Tensor:
    if out is not None:
        return torch.add(x * scale, shift, out=out)
    return (x * scale + shift).to(dtype, memory_format=memory_format)


def _checked_out(out: Tensor, pixels: Tensor, dtype: torch.dtype | None, *inputs: Tensor) -> torch.dtype:
    """The dtype of a result that is written to `out`."""
    if not isinstance(out, Tensor) or not out.is_floating_point():
        raise TypeError(f"out must be a floating tensor, got {out.dtype if isinstance(out, Tensor) else type(out)}")
    if out.shape != pixels.shape or out.device != pixels.device:
        expected = f"{list(pixels.shape)} on {pixels.device}"
        raise ValueError(f"out must be {expected} for these images, got {list(out.shape)} on {out.device}")
    if dtype not in (None, out.dtype):
        raise ValueError(f"dtype must be that of out, {out.dtype}, got {dtype}: leave dtype out")
    if torch.is_grad_enabled() and any(value.requires_grad for value in (out, pixels, *inputs)):
        raise ValueError("out must not be given where gradients are asked for: leave it out, or use torch.no_grad()")
    return out.dtype


def _dtypes(images: Tensor, dtype: torch.dtype | None) -> tuple[torch.dtype, torch.dtype]:
    """The dtypes of the arithmetic and of the result."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(f"dtype must be floating point, such as torch.float16, got {dtype!r}")
    compute = torch.float64 if torch.float64 in (images.dtype, dtype) else torch.float32
    return compute, dtype or (images.dtype if images.is_floating_point() else torch.float32)


def _check_memory_format(memory_format: torch.memory_format) -> None:
    if memory_format not in (torch.contiguous_format, torch.channels_last):
        raise ValueError(f"memory_format must be contiguous_format or channels_last, got {memory_format}")


def _eight_bit_units(pixels: Tensor, compute: torch.dtype) -> Tensor:
    """Pixels as floating 0..255."""
    return pixels.to(compute) * 255 if pixels.is_floating_point() else pixels.to(compute).contiguous()


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


def _check_level(operation: Operation, level: float | Tensor | None) -> None:
    """Refuse a level out of range where that is known before it is moved to a GPU, whose values a draw cannot see."""
    if not isinstance(level, Tensor | Real | None):
        raise TypeError(f"level must be a number or a tensor, got {type(level).__name__}")
    if level is None or (isinstance(level, Tensor) and not are_values_known(level)):
        return
    lowest = -1 if operation.signed else 0
    for value in level.detach().flatten().tolist() if isinstance(level, Tensor) else [float(level)]:
        if not lowest <= value <= 1:  # NaN is outside too
            raise ValueError(f"level of {operation.name} must be in [{lowest}, 1], got {value:g}")


def _check_draw(draw: Draw, images: Tensor) -> None:
    if not isinstance(draw, Draw):
        raise TypeError(f"draw must be a tst_kernels.Draw, got {type(draw).__name__}")
    if draw.operations.shape[0] != images.shape[0]:
        raise ValueError(f"draw must be for {len(images)} images, got one for {len(draw.operations)}")
    if draw.operations.device != images.device:
        raise ValueError(
            f"draw must be on {images.device}, as the images, got {draw.operations.device}: move one of them"
        )


def _check_sizes(sizes: Tensor, pixels: Tensor, geometry: bool) -> None:
    if geometry:
        raise ValueError("geometry must be False where sizes are given: move such pictures by compose and warp")
    check_sizes(sizes, pixels.shape[0], *pixels.shape[2:])
    if sizes.device != pixels.device:
        raise ValueError(f"sizes must be on {pixels.device}, as the images, got {sizes.device}: move one of them")


def _mix_in_triton(
    pixels: Tensor,
    draw: Draw,
    mean: ChannelValues | None,
    std: ChannelValues | None,
    dtype: torch.dtype,
    channels_last: bool,
    out: Tensor | None,
    geometry: bool,
    sizes: Tensor | None,
) -> Tensor:
    values, tensor = [], None
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        tensor = constants_of_tensors(mean, std, pixels.shape[1], pixels.device, torch.float32)
    else:
        values = constants(mean, std, pixels.shape[1])
    fields = draw.operations, draw.levels.float(), draw.gates.float(), draw.centres
    arguments = pixels, *fields, sizes, tensor, values, dtype, channels_last, geometry
    return operators.mix(*arguments)[0] if out is None else operators.mix_into(out, *arguments)


def _scale_shift_fill(x: Tensor, mean: ChannelValues | None, std: ChannelValues | None) -> Tensor:
    """Of each channel of x, in its dtype and on its device: [3, C, 1, 1]."""
    channels = x.shape[1]
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        nine = constants_of_tensors(mean, std, channels, x.device, x.dtype)
    else:
        nine = filled(constants(mean, std, channels), x.device, x.dtype)
    return nine.view(3, 3, 1, 1)[:, :channels]
