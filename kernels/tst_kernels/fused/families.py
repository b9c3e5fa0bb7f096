"""The pixel arithmetic of each family of operations: T(x), and what the gradients need of it.

Pixels are in 0..255. `slot` points at a slot's row of parameters (see `parameters.py`). What the forward and the
backward pass share is one function here; `transform` and `derivatives` choose the family at run time, the same one for
all the pixels of a program.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from tst_kernels.fused import pixels
from tst_kernels.fused.pairs import PIXEL_AXIS
from tst_kernels.fused.pixels import Pixel
from tst_kernels.operations import GREY_WEIGHTS, SOLARIZE_WIDTH, Family

WARP = tl.constexpr(int(Family.WARP))
COLOUR = tl.constexpr(int(Family.COLOUR))
SHARPNESS = tl.constexpr(int(Family.SHARPNESS))
POSTERIZE = tl.constexpr(int(Family.POSTERIZE))
SOLARIZE = tl.constexpr(int(Family.SOLARIZE))
TABLE = tl.constexpr(int(Family.TABLE))
ERASE = tl.constexpr(int(Family.ERASE))
NO_FAMILY = tl.constexpr(-1)
"""Of a code that names no operation: the slot does nothing."""

GATE_COLUMN = tl.constexpr(6)
TABLE_COLUMN = tl.constexpr(7)
COLUMNS = tl.constexpr(8)
"""A slot's row of parameters: six of the family, the gate, the number of the look-up table."""
TABLE_SIZE = tl.constexpr(3 * 256)

# In formulas a named constant stands on the right: on the left, Triton's interpreter would wrap the result in it.
_GREY_RED = tl.constexpr(GREY_WEIGHTS[0])
_GREY_GREEN = tl.constexpr(GREY_WEIGHTS[1])
_GREY_BLUE = tl.constexpr(GREY_WEIGHTS[2])
_SOLARIZE_SHARPNESS = tl.constexpr(1 / SOLARIZE_WIDTH)
_THIRTEENTH = tl.constexpr(1 / 13)


@triton.jit
def grey(pixel):
    """Luma."""
    return pixel.red * _GREY_RED + pixel.green * _GREY_GREEN + pixel.blue * _GREY_BLUE


@triton.jit
def grey_transposed(value):
    """What a gradient of the luma gives each channel."""
    return Pixel(value * _GREY_RED, value * _GREY_GREEN, value * _GREY_BLUE)


# Warp.


class Affine(NamedTuple):
    """An affine map in pixels: from an output position, relative to the image's centre, to an input position.

    input column = column_x * x + column_y * y + column_start, and input row likewise.
    """

    column_x: Any
    column_y: Any
    column_start: Any
    row_x: Any
    row_y: Any
    row_start: Any


class Taps(NamedTuple):
    """The four neighbours of a position between pixels, and the position's distance from the first of them."""

    top_left: Any
    top_right: Any
    bottom_left: Any
    bottom_right: Any
    right: Any
    down: Any


@triton.jit
def load_affine(slot):
    """The map of a slot's six parameters."""
    return Affine(
        tl.load(slot), tl.load(slot + 1), tl.load(slot + 2), tl.load(slot + 3), tl.load(slot + 4), tl.load(slot + 5)
    )


@triton.jit
def from_centre(image, row, column):
    """A position's distance (x, y) from the image's centre."""
    return column.to(tl.float32) - (image.layout.width - 1) * 0.5, row.to(tl.float32) - (image.layout.height - 1) * 0.5


@triton.jit
def source_of(affine, x, y):
    """The input position (column, row) of an output position."""
    column = affine.column_x * x + affine.column_y * y + affine.column_start
    row = affine.row_x * x + affine.row_y * y + affine.row_start
    return column, row


@triton.jit
def to_index(position, side):
    """A whole position as an integer; what lies far beyond the border is moved near it, or the cast is undefined."""
    return tl.minimum(tl.maximum(position, -2.0), side + 1.0).to(tl.int32)


@triton.jit
def within(index, side):
    """Whether an index lies in the image."""
    return (index >= 0) & (index < side)


@triton.jit
def taps_at(image, source_column, source_row, mask):
    """The four neighbours of a position, black beyond the border."""
    floor_column, floor_row = tl.floor(source_column), tl.floor(source_row)
    left, top = to_index(floor_column, image.layout.width), to_index(floor_row, image.layout.height)
    on_left, on_right = within(left, image.layout.width) & mask, within(left + 1, image.layout.width) & mask
    on_top, on_bottom = within(top, image.layout.height), within(top + 1, image.layout.height)
    return Taps(
        pixels.load_at(image, top, left, on_top & on_left),
        pixels.load_at(image, top, left + 1, on_top & on_right),
        pixels.load_at(image, top + 1, left, on_bottom & on_left),
        pixels.load_at(image, top + 1, left + 1, on_bottom & on_right),
        source_column - floor_column,
        source_row - floor_row,
    )


@triton.jit
def interpolate(top_left, top_right, bottom_left, bottom_right, right, down):
    """Bilinear interpolation of one value."""
    top = top_left + right * (top_right - top_left)
    bottom = bottom_left + right * (bottom_right - bottom_left)
    return top + down * (bottom - top)


@triton.jit
def _interpolate_taps(taps):
    a, b, c, d = taps.top_left, taps.top_right, taps.bottom_left, taps.bottom_right
    return Pixel(
        interpolate(a.red, b.red, c.red, d.red, taps.right, taps.down),
        interpolate(a.green, b.green, c.green, d.green, taps.right, taps.down),
        interpolate(a.blue, b.blue, c.blue, d.blue, taps.right, taps.down),
    )


@triton.jit
def warp_taps(slot, image, tile):
    """The taps of each pixel of the tile, and its distance from the centre."""
    x, y = from_centre(image, tile.row, tile.column)
    source_column, source_row = source_of(load_affine(slot), x, y)
    return taps_at(image, source_column, source_row, tile.inside), x, y


# The other families.


@triton.jit
def colour(slot, pixel):
    """s x + w grey(x) + o, not clamped."""
    common = tl.load(slot + 1) * grey(pixel) + tl.load(slot + 2)
    factor = tl.load(slot)
    return Pixel(factor * pixel.red + common, factor * pixel.green + common, factor * pixel.blue + common)


@triton.jit
def is_inner(slot, row, column):
    """Whether a pixel has all its eight neighbours in the picture, whose size is among Sharpness's parameters."""
    last_row, last_column = tl.load(slot + 1).to(tl.int32) - 1, tl.load(slot + 2).to(tl.int32) - 1
    return (row > 0) & (row < last_row) & (column > 0) & (column < last_column)


@triton.jit
def smooth(slot, image, row, column, pixel, mask):
    """PIL's SMOOTH filter, [1 1 1; 1 5 1; 1 1 1] / 13, with the border pixels kept."""
    inner = mask & is_inner(slot, row, column)
    around = pixels.load_stored_at(image, row - 1, column - 1, inner)
    for neighbour in tl.static_range(1, 9):
        if neighbour != 4:
            near = pixels.load_stored_at(image, row + (neighbour // 3 - 1), column + (neighbour % 3 - 1), inner)
            around = pixels.add(around, near)
    around = pixels.add(pixels.to_255(around), pixels.scale(pixel, 5.0))
    return pixels.select(inner, pixels.scale(around, _THIRTEENTH), pixel)


@triton.jit
def hidden_zero(slot):
    """Zero, in a way that the compiler cannot know: the fourth of Sharpness's parameters, which has three.

    Added to a position, it keeps the eight neighbours' addresses, the same for every slot, from being computed before
    the loop over slots and held in a hundred registers throughout.
    """
    return tl.load(slot + 3).to(tl.int32)


@triton.jit
def sharpness(factor, pixel, smoothed):
    """f x + (1 - f) smooth(x), not clamped."""
    return pixels.add(smoothed, pixels.scale(pixels.subtract(pixel, smoothed), factor))


@triton.jit
def _keep_bits(value, mask):
    return (value.to(tl.int32) & mask).to(tl.float32)


@triton.jit
def posterize(slot, levels):
    """Multiples of the step, a power of two: integer bits are masked, since a quotient may round over the floor's edge.

    `levels` are 8-bit values.
    """
    mask = -tl.load(slot).to(tl.int32)
    return Pixel(_keep_bits(levels.red, mask), _keep_bits(levels.green, mask), _keep_bits(levels.blue, mask))


@triton.jit
def _solarize(value, level, threshold):
    return tl.where(level < threshold, value, 255.0 - value)


@triton.jit
def solarize(slot, pixel, levels):
    """Inverted where the 8-bit value is at the threshold or above."""
    threshold = tl.load(slot)
    return Pixel(
        _solarize(pixel.red, levels.red, threshold),
        _solarize(pixel.green, levels.green, threshold),
        _solarize(pixel.blue, levels.blue, threshold),
    )


@triton.jit
def _solarize_derivative(level, threshold):
    """d/d threshold of sigmoid((v - threshold) / width) (255 - 2 v)."""
    soft = tl.sigmoid((level - threshold) * _SOLARIZE_SHARPNESS)
    return (soft - 1.0) * soft * _SOLARIZE_SHARPNESS * (255.0 - 2.0 * level)


@triton.jit
def look_up(slot, tables, levels):
    """The 8-bit value's entry in the image's table. `tables` points at the image's tables."""
    table = tables + tl.load(slot + TABLE_COLUMN).to(tl.int32) * TABLE_SIZE
    return Pixel(
        tl.load(table + levels.red.to(tl.int32)).to(tl.float32),
        tl.load(table + 256 + levels.green.to(tl.int32)).to(tl.float32),
        tl.load(table + 512 + levels.blue.to(tl.int32)).to(tl.float32),
    )


@triton.jit
def is_erased(slot, tile):
    """Whether a pixel's centre lies in the box."""
    row, column = tile.row + 0.5, tile.column + 0.5
    in_rows = (row >= tl.load(slot)) & (row < tl.load(slot + 2))
    return in_rows & (column >= tl.load(slot + 1)) & (column < tl.load(slot + 3))


@triton.jit
def transform(family, slot, image, tile, pixel, tables, fill, GEOMETRY: tl.constexpr):
    """T(x) at the tile: what one slot's operation makes of its pixels."""
    changed = pixel
    if family == WARP:
        if GEOMETRY:
            taps, _, _ = warp_taps(slot, image, tile)
            changed = _interpolate_taps(taps)
    elif family == COLOUR:
        changed = pixels.clamp(colour(slot, pixel))
    elif family == SHARPNESS:
        smoothed = smooth(slot, image, tile.row + hidden_zero(slot), tile.column, pixel, tile.inside)
        changed = pixels.clamp(sharpness(tl.load(slot), pixel, smoothed))
    elif family == POSTERIZE:
        changed = posterize(slot, pixels.eight_bit(image, pixel))
    elif family == SOLARIZE:
        changed = solarize(slot, pixel, pixels.eight_bit(image, pixel))
    elif family == TABLE:
        changed = look_up(slot, tables, pixels.eight_bit(image, pixel))
    elif family == ERASE:
        changed = pixels.select(is_erased(slot, tile), fill, pixel)
    return changed


# Gradients to parameters and gates.


class Derivatives(NamedTuple):
    """What each thread's pixels add to the gradients of a slot's six parameters and its gate: each [threads].

    Those of the parameters lack the factor of the gate.
    """

    first: Any
    second: Any
    third: Any
    fourth: Any
    fifth: Any
    sixth: Any
    gate: Any


@triton.jit
def _warp_derivatives(slot, image, tile, pixel, upstream):
    """By the map's six numbers in pixels. Channels are summed first: four values a pixel instead of twelve."""
    taps, x, y = warp_taps(slot, image, tile)
    top_left, top_right = pixels.dot(upstream, taps.top_left), pixels.dot(upstream, taps.top_right)
    bottom_left, bottom_right = pixels.dot(upstream, taps.bottom_left), pixels.dot(upstream, taps.bottom_right)
    along_top, along_bottom = top_right - top_left, bottom_right - bottom_left
    along_left, along_right = bottom_left - top_left, bottom_right - top_right
    by_column = along_top + taps.down * (along_bottom - along_top)
    by_row = along_left + taps.right * (along_right - along_left)
    warped = interpolate(top_left, top_right, bottom_left, bottom_right, taps.right, taps.down)
    return Derivatives(
        tl.sum(by_column * x, axis=PIXEL_AXIS),
        tl.sum(by_column * y, axis=PIXEL_AXIS),
        tl.sum(by_column, axis=PIXEL_AXIS),
        tl.sum(by_row * x, axis=PIXEL_AXIS),
        tl.sum(by_row * y, axis=PIXEL_AXIS),
        tl.sum(by_row, axis=PIXEL_AXIS),
        tl.sum(warped - pixels.dot(upstream, pixel), axis=PIXEL_AXIS),
    )


@triton.jit
def _few_derivatives(first, second, third, upstream, pixel, changed):
    """The derivatives of a family with three parameters at most."""
    nothing = tl.zeros_like(tl.sum(first, axis=PIXEL_AXIS))
    return Derivatives(
        tl.sum(first, axis=PIXEL_AXIS),
        tl.sum(second, axis=PIXEL_AXIS),
        tl.sum(third, axis=PIXEL_AXIS),
        nothing,
        nothing,
        nothing,
        tl.sum(pixels.dot(upstream, pixels.subtract(changed, pixel)), axis=PIXEL_AXIS),
    )


@triton.jit
def _colour_derivatives(slot, pixel, upstream):
    unclamped = colour(slot, pixel)
    passed = pixels.where_unclamped(upstream, unclamped)
    offset = pixels.total(passed)
    scale, grey_weight = pixels.dot(passed, pixel), grey(pixel) * offset
    return _few_derivatives(scale, grey_weight, offset, upstream, pixel, pixels.clamp(unclamped))


@triton.jit
def _sharpness_derivatives(slot, image, tile, pixel, upstream):
    smoothed = smooth(slot, image, tile.row, tile.column, pixel, tile.inside)
    unclamped = sharpness(tl.load(slot), pixel, smoothed)
    factor = pixels.dot(pixels.where_unclamped(upstream, unclamped), pixels.subtract(pixel, smoothed))
    nothing = tl.zeros_like(factor)
    return _few_derivatives(factor, nothing, nothing, upstream, pixel, pixels.clamp(unclamped))


@triton.jit
def _posterize_derivatives(slot, image, pixel, upstream):
    """The straight-through floor: d/d step = floor(v / step) - v / step."""
    levels = pixels.eight_bit(image, pixel)
    changed = posterize(slot, levels)
    step = pixels.dot(upstream, pixels.subtract(changed, levels)) / tl.load(slot)
    nothing = tl.zeros_like(step)
    return _few_derivatives(step, nothing, nothing, upstream, pixel, changed)


@triton.jit
def _solarize_derivatives(slot, image, pixel, upstream):
    levels = pixels.eight_bit(image, pixel)
    by_threshold = Pixel(
        _solarize_derivative(levels.red, tl.load(slot)),
        _solarize_derivative(levels.green, tl.load(slot)),
        _solarize_derivative(levels.blue, tl.load(slot)),
    )
    threshold = pixels.dot(upstream, by_threshold)
    nothing = tl.zeros_like(threshold)
    return _few_derivatives(threshold, nothing, nothing, upstream, pixel, solarize(slot, pixel, levels))


@triton.jit
def _gate_derivatives(upstream, pixel, changed):
    nothing = tl.zeros_like(pixel.red)
    return _few_derivatives(nothing, nothing, nothing, upstream, pixel, changed)


@triton.jit
def derivatives(family, slot, image, tile, pixel, upstream, tables, fill, GEOMETRY: tl.constexpr):
    """What the tile adds to the gradients of one slot. `upstream` is the gradient of the mix."""
    nothing = tl.zeros_like(tl.sum(pixel.red, axis=PIXEL_AXIS))
    result = Derivatives(nothing, nothing, nothing, nothing, nothing, nothing, nothing)
    if family == WARP:
        if GEOMETRY:
            result = _warp_derivatives(slot, image, tile, pixel, upstream)
    elif family == COLOUR:
        result = _colour_derivatives(slot, pixel, upstream)
    elif family == SHARPNESS:
        result = _sharpness_derivatives(slot, image, tile, pixel, upstream)
    elif family == POSTERIZE:
        result = _posterize_derivatives(slot, image, pixel, upstream)
    elif family == SOLARIZE:
        result = _solarize_derivatives(slot, image, pixel, upstream)
    elif family == TABLE:
        result = _gate_derivatives(upstream, pixel, look_up(slot, tables, pixels.eight_bit(image, pixel)))
    elif family == ERASE:
        result = _gate_derivatives(upstream, pixel, pixels.select(is_erased(slot, tile), fill, pixel))
    return result
