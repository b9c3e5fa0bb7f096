"""The definition of the augmentation in plain PyTorch: any device, any floating dtype, gradients by autograd.

The oracle of the tests and, compiled, the fast path of machines without a GPU. It is vectorised over the batch: images
that share a family are gathered, never looped over. Pixels are in 0..255 throughout.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tst_kernels import statistics
from tst_kernels.draw import Draw
from tst_kernels.operations import FAMILY_OF_CODE, OPERATIONS, SOLARIZE_WIDTH, Family, Scene, family_parameters

Runner = Callable[[Callable[..., Tensor]], Callable[..., Tensor]]
"""Takes a function and gives back how to run it: as it is, or compiled."""


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


def affine_warp(x: Tensor, theta: Tensor, interpolation: str = "bilinear", fill: float = 0.0) -> Tensor:
    """Resample [N, C, H, W] at theta [N, 2, 3], output to input position in `affine_grid`'s coordinates.

    Pixel centres as `align_corners=False`; outside is `fill`; "nearest" rounds half up, as PIL, and takes any dtype.
    """
    grid = affine_grid(theta, *x.shape[-2:])
    if interpolation == "bilinear":
        inner = x - fill if fill else x
        warped = F.grid_sample(inner, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return warped + fill if fill else warped
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


class _Clamp(torch.autograd.Function):
    """The gradient of hardtanh a hair outside 0..255: on a CPU, `torch.where` takes many times as long."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp(0, 255)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> Tensor:
        return torch.ops.aten.hardtanh_backward(*gradient, *ctx.saved_tensors, -1e-30, 255 + 2e-5)


def clamp_pixels(x: Tensor) -> Tensor:
    """0..255. The bounds themselves pass gradients, so that white and black pixels do where nothing is cut off.

    `torch.clamp` did the same up to PyTorch 2.11 and no longer does in 2.15.
    """
    return _Clamp.apply(x)


def choose(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a where the mask is true, else b, both finite: as `torch.where`, which takes seven times as long on a CPU."""
    return torch.lerp(b, a, mask.to(b.dtype))  # exact at both ends


def with_slope(value: Tensor, parameter: Tensor, slope: Callable[[], Tensor]) -> Tensor:
    """A value, with a first derivative by the parameter that is not its own."""
    if not parameter.requires_grad:
        return value
    with torch.no_grad():
        derivative = slope()
    return torch.addcmul(value, derivative, parameter - parameter.detach())


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


def posterize(x: Tensor, parameters: Tensor) -> Tensor:
    """The 8-bit value's multiples of the step; the floor passes gradients straight through, in the step and in x."""
    step = parameters[:, 0, None, None, None]
    steps = statistics.eight_bit(x.detach()) / step.detach()  # exact: the step is a power of two
    value = steps.floor() * step.detach()
    if x.requires_grad:
        value = value + (x - x.detach())
    return with_slope(value, step, lambda: steps.floor() - steps)


def solarize(x: Tensor, parameters: Tensor) -> Tensor:
    """Inverted where the 8-bit value reaches the threshold, which gets the derivative of a sigmoid in its place."""
    threshold = parameters[:, 0, None, None, None]
    level = statistics.eight_bit(x.detach())

    def slope() -> Tensor:
        soft = torch.sigmoid((level - threshold) / SOLARIZE_WIDTH)
        return (soft - 1) * soft * ((255 - 2 * level) / SOLARIZE_WIDTH)

    return with_slope(choose(level >= threshold, 255 - x, x), threshold, slope)


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


def blend(total: Tensor, x: Tensor, transformed: Tensor, gate: Tensor) -> Tensor:
    """One slot's part of the mix: total + g (T(x) - x)."""
    return torch.addcmul(total, gate[:, None, None, None], transformed - x)


@functools.cache
def _compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return torch.compile(function)


def _transform(
    family: Family,
    x: Tensor,
    parameters: Tensor,
    is_equalize: Tensor,
    inside: Tensor | None,
    fill: Tensor,
    run: Runner,
) -> Tensor:
    """T(x) of images that share a family."""
    match family:
        # Warps and tables are never compiled: PyTorch's own kernels beat what inductor makes of their look-ups.
        case Family.WARP:
            return affine_warp(x, parameters.unflatten(1, (2, 3)))
        case Family.COLOUR:
            return run(colour)(x, parameters)
        case Family.SHARPNESS:
            return run(sharpness)(x, parameters)
        case Family.POSTERIZE:
            return run(posterize)(x, parameters)
        case Family.SOLARIZE:
            return run(solarize)(x, parameters)
        case Family.TABLE:
            return table(x, is_equalize, inside)
        case Family.ERASE:
            return run(erase)(x, parameters, fill)


def _groups(families: Sequence[int]) -> Iterator[tuple[Family, list[int]]]:
    """Each family present among the images of one slot, with the images that have it."""
    for family in sorted(set(families)):
        yield Family(family), [image for image, other in enumerate(families) if other == family]


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
    run: Runner = _compiled if compile else lambda function: function
    codes = draw.operations.tolist()
    inside = None if sizes is None else statistics.inside_of(sizes, *x.shape[2:])
    parameters, all_gates = _parameters_and_gates(x, draw, sizes, inside, codes)
    is_equalize = draw.operations == OPERATIONS["Equalize"].code
    total = x
    for slot in range(len(codes[0])):
        # Copies: compiled code would be specialised on where in memory a slot begins, and made anew for each.
        gates, inputs = all_gates[:, slot].clone(), (x, parameters[:, slot].clone(), is_equalize[:, slot])
        for family, images in _groups([FAMILY_OF_CODE[row[slot]] for row in codes]):
            if family == Family.WARP and not geometry:
                continue
            if len(images) == len(codes):
                total = run(blend)(total, x, _transform(family, *inputs, inside, fill, run), gates)
                continue
            rows = torch.tensor(images, device=x.device)
            some_x, some_parameters, are_equalize = (tensor.index_select(0, rows) for tensor in inputs)
            some_inside = None if inside is None else inside.index_select(0, rows)
            changed = _transform(family, some_x, some_parameters, are_equalize, some_inside, fill, run)
            part = run(blend)(total.index_select(0, rows), some_x, changed, gates.index_select(0, rows))
            total = (x.clone() if total is x else total).index_copy_(0, rows, part)
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
