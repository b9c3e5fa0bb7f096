"""Gradients of the mix to floating-point images: each operation's adjoint, as a gather.

A pixel's gradient is collected from the results it had a part in, so nothing is scattered and no two programs write the
same place: the same bits on every run.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from tst_kernels.fused import families, pixels
from tst_kernels.fused.pixels import Image, Pixel


class Window(NamedTuple):
    """Which output positions may have read a pixel: `rows` x `columns` of them from (first_row, first_column)."""

    first_row: Any
    first_column: Any
    rows: Any
    columns: Any


@triton.jit
def _extent(reach_x, reach_y, is_singular, side, size):
    """How far the window reaches from its centre, and how many positions that can be: all where the map is singular."""
    reach = tl.abs(reach_x) + tl.abs(reach_y)
    reach += 1e-3 + 1e-6 * reach * size  # what rounding may move a position
    count = tl.where(is_singular, side * 1.0, tl.minimum(tl.maximum(tl.floor(2.0 * reach) + 1.0, 1.0), side * 1.0))
    return reach, count.to(tl.int32)


@triton.jit
def _first(centre, reach, count, side):
    first = families.to_index(tl.ceil(centre - reach), side)
    return tl.where(count == side, 0, first)


@triton.jit
def window_around(affine, image, row, column):
    """The window of each pixel: the inverse map's image of the square of side 2 around it, in which it has a weight.

    Exact for every map: for those of the operations the window is 3 x 3; it grows with the zoom, up to the whole
    image.
    """
    determinant = affine.column_x * affine.row_y - affine.column_y * affine.row_x
    size = tl.abs(affine.column_x * affine.row_y) + tl.abs(affine.column_y * affine.row_x)
    is_singular = tl.abs(determinant) <= 1e-6 * size
    inverse = 1.0 / tl.where(is_singular, 1.0, determinant)
    x_column, x_row = affine.row_y * inverse, -affine.column_y * inverse
    y_column, y_row = -affine.row_x * inverse, affine.column_x * inverse
    sides = image.layout.height + image.layout.width
    reach_x, columns = _extent(x_column, x_row, is_singular, image.layout.width, sides)
    reach_y, rows = _extent(y_column, y_row, is_singular, image.layout.height, sides)
    from_column, from_row = column - affine.column_start, row - affine.row_start
    centre_x = x_column * from_column + x_row * from_row + (image.layout.width - 1) * 0.5
    centre_y = y_column * from_column + y_row * from_row + (image.layout.height - 1) * 0.5
    first_column = _first(centre_x, reach_x, columns, image.layout.width)
    first_row = _first(centre_y, reach_y, rows, image.layout.height)
    return Window(first_row, first_column, rows, columns)


@triton.jit
def bilinear_weight(affine, image, output_row, output_column, row, column):
    """The weight of pixel (row, column) in what the warp writes at an output position: zero for most."""
    x, y = families.from_centre(image, output_row, output_column)
    source_column, source_row = families.source_of(affine, x, y)
    weight = tl.maximum(1.0 - tl.abs(source_column - column), 0.0) * tl.maximum(1.0 - tl.abs(source_row - row), 0.0)
    inside = families.within(output_row, image.layout.height) & families.within(output_column, image.layout.width)
    return tl.where(inside, weight, 0.0)


@triton.jit
def _warp_adjoint(slot, image, tile, gradient):
    affine = families.load_affine(slot)
    window = window_around(affine, image, tile.row, tile.column)
    nothing = tl.zeros_like(tile.row).to(tl.float32)
    collected = Pixel(nothing, nothing, nothing)
    down = 0
    while down < window.rows:
        right = 0
        while right < window.columns:
            row, column = window.first_row + down, window.first_column + right
            weight = bilinear_weight(affine, image, row, column, tile.row, tile.column)
            upstream = pixels.load_gradient_at(gradient, row, column, tile.inside & (weight > 0.0))
            collected = pixels.add(collected, pixels.scale(upstream, weight))
            right += 1
        down += 1
    return collected


@triton.jit
def _colour_adjoint(slot, pixel, upstream):
    passed = pixels.where_unclamped(upstream, families.colour(slot, pixel))
    through_grey = families.grey_transposed(tl.load(slot + 1) * pixels.total(passed))
    return pixels.add(pixels.scale(passed, tl.load(slot)), through_grey)


@triton.jit
def _sharpness_adjoint(slot, image, tile, gradient):
    """Each of the nine results that a pixel has a part in, its clamping worked out anew."""
    factor = tl.load(slot)
    nothing = tl.zeros_like(tile.row).to(tl.float32)
    collected = Pixel(nothing, nothing, nothing)
    down = -1
    while down < 2:
        right = -1
        while right < 2:
            row, column = tile.row + (down + families.hidden_zero(slot)), tile.column + right
            inside = (
                tile.inside & families.within(row, image.layout.height) & families.within(column, image.layout.width)
            )
            pixel = pixels.load_at(image, row, column, inside)
            smoothed = families.smooth(slot, image, row, column, pixel, inside)
            upstream = pixels.load_gradient_at(gradient, row, column, inside)
            passed = pixels.where_unclamped(upstream, families.sharpness(factor, pixel, smoothed))
            is_itself = (down == 0) & (right == 0)
            of_smooth = tl.where(is_itself, 5.0 / 13.0, 1.0 / 13.0)
            kept = tl.where(is_itself, 1.0, 0.0)
            weight = tl.where(families.is_inner(slot, row, column), of_smooth, kept)
            collected = pixels.add(collected, pixels.scale(passed, factor * kept + (1.0 - factor) * weight))
            right += 1
        down += 1
    return collected


@triton.jit
def _solarize_adjoint(slot, image, pixel, upstream):
    levels = pixels.eight_bit(image, pixel)
    threshold = tl.load(slot)
    return Pixel(
        tl.where(levels.red < threshold, upstream.red, -upstream.red),
        tl.where(levels.green < threshold, upstream.green, -upstream.green),
        tl.where(levels.blue < threshold, upstream.blue, -upstream.blue),
    )


@triton.jit
def _adjoint(family, slot, image, tile, pixel, gradient, upstream, factors, GEOMETRY: tl.constexpr):
    """What the results' gradients become on their way back through one slot's operation."""
    nothing = tl.zeros_like(upstream.red)
    none = Pixel(nothing, nothing, nothing)
    collected = upstream  # Posterize passes straight through
    if family == families.WARP:
        if GEOMETRY:
            collected = pixels.multiply(_warp_adjoint(slot, image, tile, gradient), factors)
    elif family == families.COLOUR:
        collected = _colour_adjoint(slot, pixel, upstream)
    elif family == families.SHARPNESS:
        collected = pixels.multiply(_sharpness_adjoint(slot, image, tile, gradient), factors)
    elif family == families.SOLARIZE:
        collected = _solarize_adjoint(slot, image, pixel, upstream)
    elif family == families.TABLE:
        collected = none
    elif family == families.ERASE:
        collected = pixels.select(families.is_erased(slot, tile), none, upstream)
    return collected


@triton.jit
def gather_gradients(
    images,
    gradient,
    result,
    parameters,
    family_codes,
    constants,
    grey_gradients,
    sizes,
    slots,
    GEOMETRY: tl.constexpr,
    THREADS: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """The gradient of one tile of one image. A grey image stands for three equal channels: it gets their sum."""
    program = tl.program_id(0)
    tiles = tl.cdiv(images.layout.height * images.layout.width, THREADS * PIXELS)
    image_number = program // tiles
    image = Image(pixels.start_of(images, image_number), images.layout)
    upstream_image = Image(pixels.start_of(gradient, image_number), gradient.layout)
    tile = pixels.tile_at(image, program - image_number * tiles, THREADS, PIXELS)
    pixel = pixels.load_tile(image, tile)
    factors = pixels.scale_of(constants)
    upstream = pixels.multiply(pixels.load_gradient_tile(upstream_image, tile), factors)
    height, width = pixels.size_of(images, sizes, image_number)
    of_grey = tl.where((tile.row < height) & (tile.column < width), tl.load(grey_gradients + image_number), 0.0)
    collected = pixels.add(upstream, families.grey_transposed(of_grey))
    row = image_number * slots
    end = row + slots
    while row < end:
        slot = parameters + row * families.COLUMNS
        family = tl.load(family_codes + row)
        gate = tl.load(slot + families.GATE_COLUMN)
        if family != families.NO_FAMILY:
            passed = _adjoint(family, slot, image, tile, pixel, upstream_image, upstream, factors, GEOMETRY)
            collected = pixels.add(collected, pixels.scale(pixels.subtract(passed, upstream), gate))
        row += 1
    if image.layout.channel_stride is None:
        grey = pixels.total(collected)
        collected = Pixel(grey, grey, grey)
    pixels.store_tile(Image(pixels.start_of(result, image_number), result.layout), tile, pixels.scale(collected, 255.0))
