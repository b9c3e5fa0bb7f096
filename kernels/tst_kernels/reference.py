"""The definition of the augmentation in plain PyTorch: any device, any floating dtype, gradients by autograd.

The oracle of the tests and, compiled, the fast path of machines without a GPU. It is vectorised over the batch: images
that share a family are gathered, never looped over. Pixels are in 0..255 throughout.
"""

import functools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tst_kernels import statistics
from tst_kernels.draw import Draw
from tst_kernels.operations import (
    FAMILY_OF_CODE,
    LARGEST_WHITE,
    OPERATIONS,
    SOLARIZE_WIDTH,
    Family,
    Scene,
    family_parameters,
)


def affine_grid(theta: Tensor, height: int, width: int) -> Tensor:
    """As `torch.nn.functional.affine_grid`, `align_corners=False`: that one multiplies matrices and is far slower.

    Args:
        theta: [N, 2, 3].
        height: of the output, in pixels.
        width: of the output, in pixels.

    Returns:
        [N, H, W, 2], (x, y) input positions in normalised coordinates.
    """
    x = (2 * torch.arange(width, dtype=theta.dtype, device=theta.device) + 1) / width - 1
    y = (2 * torch.arange(height, dtype=theta.dtype, device=theta.device)[:, None] + 1) / height - 1
    along_x, along_y, offset = theta[..., None, None].unbind(2)
    return (along_x * x + along_y * y + offset).movedim(1, 3)


def sample(x: Tensor, grid: Tensor) -> Tensor:
    """[N, C, H, W] at the positions of a grid [N, H, W, 2]: bilinear, 0 beyond the border."""
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def affine_warp(x: Tensor, theta: Tensor, interpolation: str = "bilinear", fill: float = 0.0) -> Tensor:
    """Resample [N, C, H, W] at theta [N, 2, 3], output to input position in `affine_grid`'s coordinates.

    Pixel centres as `align_corners=False`; outside is `fill`; "nearest" rounds half up, as PIL, and takes any dtype.
    """
    grid = affine_grid(theta, *x.shape[-2:])
    if interpolation == "bilinear":
        if not fill:
            return sample(x, grid)
        outside = 1 - sample(torch.ones_like(x[:, :1]), grid)
        rounding = outside.detach() * (outside.detach().abs() < 1e-6)  # weights within do not quite add up to 1
        return sample(x, grid) + fill * (outside - rounding)
    height, width = x.shape[-2:]
    # Pixel i covers [i, i + 1) of a side measured from its edge.
    column = ((grid[..., 0] + 1) * (width / 2)).floor()
    row = ((grid[..., 1] + 1) * (height / 2)).floor()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    # In whole numbers: pixels beyond 2^24 have none of their own in float32.
    row, column = (torch.where(inside, index, 0).long() for index in (row, column))
    position = (row * width + column).flatten(1).unsqueeze(1)
    taken = x.flatten(2).gather(2, position.expand(-1, x.shape[1], -1)).view_as(x)
    return torch.where(inside.unsqueeze(1), taken, torch.full_like(taken, fill))


class _WithGradient(torch.autograd.Function):
    """Has a gradient of its own, made from its inputs."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)


class _Clamp(_WithGradient):
    """The gradient of hardtanh a hair outside 0..255: on a CPU, `torch.where` takes many times as long."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp(0, 255)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> Tensor:
        return torch.ops.aten.hardtanh_backward(*gradient, *ctx.saved_tensors, -1e-30, LARGEST_WHITE)


def clamp_pixels(x: Tensor) -> Tensor:
    """0..255. The bounds themselves pass gradients, so that white and black pixels do where nothing is cut off.

    `torch.clamp` did the same up to PyTorch 2.11 and no longer does in 2.15.
    """
    return _Clamp.apply(x)


def choose(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a where the mask is true, else b, both finite: as `torch.where`, which takes seven times as long on a CPU."""
    return torch.lerp(b, a, mask.to(b.dtype))  # exact at both ends


def reaches(level: Tensor, threshold: Tensor) -> Tensor:
    """1 where a whole number reaches a threshold, else 0: no mask, which compiled code takes long to write."""
    return (level - (threshold.ceil() - 1)).clamp_(0, 1)


def colour(x: Tensor, parameters: Tensor) -> Tensor:
    """s x + w grey(x) + o, clamped."""
    scale, weight, offset = (parameters[:, i, None, None, None] for i in range(3))
    return clamp_pixels(torch.addcmul(torch.addcmul(offset, weight, statistics.grey(x)), scale, x))


def smooth(x: Tensor, last_row: Tensor, last_column: Tensor) -> Tensor:
    """PIL's SMOOTH filter, [1 1 1; 1 5 1; 1 1 1] / 13, with the border pixels, and all beyond the last, kept.

    Sums of three along the rows, then of three of these. Written as shifted slices, which `torch.compile` fuses into
    one pass where a convolution would stand apart.
    """
    height, width = x.shape[-2:]
    if height < 3 or width < 3:
        return x
    threes = x[..., :-2] + x[..., 1:-1] + x[..., 2:]
    nines = threes[..., :-2, :] + threes[..., 1:-1, :] + threes[..., 2:, :]
    taken = F.pad((9 / 13) * x[..., 1:-1, 1:-1] - (1 / 13) * nines, (1, 1, 1, 1))
    rows = torch.arange(height, device=x.device)[:, None]
    columns = torch.arange(width, device=x.device)
    return x - taken * ((rows < last_row) & (columns < last_column))


def sharpness(x: Tensor, parameters: Tensor) -> Tensor:
    """f x + (1 - f) smooth(x), clamped."""
    factor, height, width = (parameters[:, i, None, None, None] for i in range(3))
    smoothed = smooth(x, height - 1, width - 1)
    return clamp_pixels(torch.addcmul(smoothed, factor, x - smoothed))


class _Posterize(_WithGradient):
    """The floor passes gradients straight through, in the step and in x."""

    @staticmethod
    def forward(x: Tensor, step: Tensor) -> Tensor:
        return (statistics.eight_bit(x) / step).floor() * step  # exact: the step is a power of two

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (g,), (x, step) = gradient, ctx.saved_tensors
        if not ctx.needs_input_grad[1]:
            return g, None
        steps = statistics.eight_bit(x) / step
        return g, (g * (steps.floor() - steps)).sum_to_size(step.shape)


def posterize(x: Tensor, parameters: Tensor) -> Tensor:
    """The 8-bit value's multiples of the step."""
    return _Posterize.apply(x, parameters[:, 0, None, None, None])


class _Solarize(_WithGradient):
    """The threshold has the derivative of a sigmoid in its place."""

    @staticmethod
    def forward(x: Tensor, threshold: Tensor) -> Tensor:
        return torch.lerp(x, 255 - x, reaches(statistics.eight_bit(x), threshold))

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (g,), (x, threshold) = gradient, ctx.saved_tensors
        level = statistics.eight_bit(x)
        of_x = torch.lerp(g, -g, reaches(level, threshold)) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return of_x, None
        soft = torch.sigmoid((level - threshold) / SOLARIZE_WIDTH)
        slope = (soft - 1) * soft * ((255 - 2 * level) / SOLARIZE_WIDTH)
        return of_x, (g * slope).sum_to_size(threshold.shape)


def solarize(x: Tensor, parameters: Tensor) -> Tensor:
    """Inverted where the 8-bit value reaches the threshold."""
    return _Solarize.apply(x, parameters[:, 0, None, None, None])


def table(x: Tensor, is_equalize: Tensor, inside: Tensor | None = None) -> Tensor:
    """Look the 8-bit value up in the image's own table: Equalize's or AutoContrast's."""
    index = statistics.table_index(x)
    counts = statistics.histogram(index, *x.shape[:2], inside=inside)
    equalize, autocontrast = statistics.equalize_tables(counts), statistics.autocontrast_tables(counts)
    tables = torch.where(is_equalize[:, None, None], equalize, autocontrast).to(x.dtype)
    return tables.flatten().index_select(0, index).view_as(x)


def erase(x: Tensor, parameters: Tensor, fill: Tensor) -> Tensor:
    """`fill`, one value a channel, where a pixel's centre is in the box."""
    top, left, bottom, right = (parameters[:, i, None, None, None] for i in range(4))
    rows = torch.arange(x.shape[2], device=x.device)[:, None] + 0.5
    columns = torch.arange(x.shape[3], device=x.device) + 0.5
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    return choose(inside, fill[:, None, None].expand_as(x), x)


def blend(total: Tensor | None, x: Tensor, transformed: Tensor, gate: Tensor) -> Tensor:
    """One slot's part of the mix, g (T(x) - x), added to the total if there is one."""
    change = gate[:, None, None, None] * (transformed - x)
    return change if total is None else total + change


_ADDED: Mapping[Family, Callable[..., Tensor]] = {
    Family.COLOUR: lambda total, x, gate, parameters, fill: blend(total, x, colour(x, parameters), gate),
    Family.SHARPNESS: lambda total, x, gate, parameters, fill: blend(total, x, sharpness(x, parameters), gate),
    Family.POSTERIZE: lambda total, x, gate, parameters, fill: blend(total, x, posterize(x, parameters), gate),
    Family.SOLARIZE: lambda total, x, gate, parameters, fill: blend(total, x, solarize(x, parameters), gate),
    Family.ERASE: lambda total, x, gate, parameters, fill: blend(total, x, erase(x, parameters, fill), gate),
}
"""What is compiled as one pass. Written out, since PyTorch counts compiled variants by where a function is written."""


@functools.cache
def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """By `torch.compile`, once: the first call takes seconds."""
    return torch.compile(function)


def _add(
    family: Family,
    total: Tensor | None,
    x: Tensor,
    gate: Tensor,
    parameters: Tensor,
    is_equalize: Tensor,
    inside: Tensor | None,
    fill: Tensor,
    compile: bool,
) -> Tensor:
    """`blend` of images that share a family."""
    run = compiled if compile else lambda function: function
    match family:
        # Look-ups are never compiled: PyTorch's own kernels beat what inductor makes of them.
        case Family.WARP:
            grid = run(affine_grid)(parameters.unflatten(1, (2, 3)), *x.shape[2:])
            return run(blend)(total, x, sample(x, grid), gate)
        case Family.TABLE:
            return run(blend)(total, x, table(x, is_equalize, inside), gate)
        case _:
            return run(_ADDED[family])(total, x, gate, parameters, fill)


def _groups(codes: Sequence[Sequence[int]]) -> Iterator[tuple[Family, list[int], list[int]]]:
    """Each family of a draw with the images and slots that have it; a slot of one family alone stands by itself."""
    pairs: dict[Family, list[tuple[int, int]]] = defaultdict(list)
    for slot, column in enumerate(zip(*codes, strict=True)):
        families = [FAMILY_OF_CODE[code] for code in column]
        if len(set(families)) == 1:
            yield families[0], list(range(len(codes))), [slot] * len(codes)
            continue
        for image, family in enumerate(families):
            pairs[family].append((image, slot))
    for family, found in sorted(pairs.items()):
        yield family, [image for image, _ in found], [slot for _, slot in found]


def mix(
    x: Tensor,
    draw: Draw,
    fill: Tensor,
    compile: bool = False,
    geometry: bool = True,
    sizes: Tensor | None = None,
) -> Tensor:
    """x + sum_k g_k (T_k(x) - x): every operation sees x itself, and their changes add up. Before normalisation.

    Args:
        x: floating [B, C, H, W] in 0..255, C 1 or 3.
        draw: on the device of `x`.
        fill: [C] in 0..255, what Cutout fills its square with.
        compile: run each family through `torch.compile`; the first use of each takes seconds.
        geometry: False leaves out the slots of warps.
        sizes: integer [B, 2], height and width of the pictures at the canvas's top left; None is the whole canvas.

    Returns:
        [B, C, H, W] in the dtype of `x`, not clamped.
    """
    codes = draw.operations.tolist()
    inside = None if sizes is None else statistics.inside_of(sizes, *x.shape[2:])
    parameters, all_gates = _parameters_and_gates(x, draw, sizes, inside, codes)
    is_equalize = draw.operations == OPERATIONS["Equalize"].code
    total, everyone = x, list(range(len(codes)))
    for family, images, slots in _groups(codes):
        if family == Family.WARP and not geometry:
            continue
        rows, columns = torch.tensor([images, slots], device=x.device)
        gate, values, equalize = (tensor[rows, columns] for tensor in (all_gates, parameters, is_equalize))
        if images == everyone:
            total = _add(family, total, x, gate, values, equalize, inside, fill, compile)
            continue
        some_inside = None if inside is None else inside.index_select(0, rows)
        # Not of one image: PyTorch would compile all anew for it.
        compile_these = compile and len(images) > 1
        some_x = x.index_select(0, rows)
        part = _add(family, None, some_x, gate, values, equalize, some_inside, fill, compile_these)
        total = (x.clone() if total is x else total).index_add_(0, rows, part)
    return total


def _parameters_and_gates(
    x: Tensor, draw: Draw, sizes: Tensor | None, inside: Tensor | None, codes: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """Of every slot: [B, K, 6] and [B, K]."""
    batch, _, height, width = x.shape
    levels, gates = draw.levels.to(x.dtype), draw.gates.to(x.dtype)
    if sizes is None:
        heights, widths = x.new_full((batch, 1), height), x.new_full((batch, 1), width)
    else:
        heights, widths = sizes.to(x.dtype).split(1, dim=1)
    has_contrast = any(OPERATIONS["Contrast"].code in row for row in codes)
    grey = statistics.mean_grey(x, inside) if has_contrast else x.new_zeros(batch, 1)
    centres = x.new_full((batch, 2), 0.5) if draw.centres is None else draw.centres.to(x.dtype)
    present = {code for row in codes for code in row}
    among = [operation for operation in OPERATIONS.values() if operation.code in present]
    scene = Scene(heights, widths, grey, centres.unsqueeze(1))
    parameters = family_parameters(draw.operations, levels, scene, among)
    # Nothing is added to what is finite; what is not becomes NaN, and with it the whole image.
    has_level = torch.tensor([operation.has_level for operation in OPERATIONS.values()])
    levelled = has_level.to(x.device)[draw.operations.long()]
    return parameters, gates + 0 * gates + torch.where(levelled, 0 * levels, 0)
