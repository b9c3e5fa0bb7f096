"""One affine warp of images or label maps, a plane (one channel of one image) at a time, with its gradients."""

import triton
import triton.language as tl

from tst_kernels.fused import families, image_gradient, pixels
from tst_kernels.fused.families import Affine
from tst_kernels.fused.pairs import PIXEL_AXIS
from tst_kernels.fused.pixels import Image

NEAREST = tl.constexpr(0)
BILINEAR = tl.constexpr(1)


@triton.jit
def _start_of(images, channels, number):
    """Where one plane of a batch begins: 64-bit offsets, since masks of many channels are large."""
    image_number = number // channels
    channel = (number - image_number * channels).to(tl.int64)
    return pixels.start_of(images, image_number) + channel * images.layout.channel_stride


@triton.jit
def _load_theta(theta, plane):
    """Six numbers in `affine_grid`'s coordinates, as a map in pixels."""
    width, height = plane.layout.width, plane.layout.height
    return Affine(
        tl.load(theta),
        tl.load(theta + 1) * (width / height),
        tl.load(theta + 2) * (width * 0.5) + (width - 1) * 0.5,
        tl.load(theta + 3) * (height / width),
        tl.load(theta + 4),
        tl.load(theta + 5) * (height * 0.5) + (height - 1) * 0.5,
    )


@triton.jit
def _load(plane, row, column, inside, fill):
    return tl.load(plane.pointer + _offset(plane, row, column), mask=inside, other=fill)


@triton.jit
def _offset(plane, row, column):
    return row * plane.layout.row_stride + column * plane.layout.column_stride


@triton.jit
def _nearest(plane, source_column, source_row, mask, fill):
    """The pixel that a position lies in, rounded half up."""
    column = families.to_index(tl.floor(source_column + 0.5), plane.layout.width)
    row = families.to_index(tl.floor(source_row + 0.5), plane.layout.height)
    inside = mask & families.within(column, plane.layout.width) & families.within(row, plane.layout.height)
    return _load(plane, row, column, inside, fill)


@triton.jit
def _taps(plane, source_column, source_row, mask, fill):
    """The four neighbours of a position, `fill` beyond the border, and the distance from the first of them."""
    floor_column, floor_row = tl.floor(source_column), tl.floor(source_row)
    left = families.to_index(floor_column, plane.layout.width)
    top = families.to_index(floor_row, plane.layout.height)
    on_left, on_right = (
        families.within(left, plane.layout.width) & mask,
        families.within(left + 1, plane.layout.width) & mask,
    )
    on_top, on_bottom = families.within(top, plane.layout.height), families.within(top + 1, plane.layout.height)
    return (
        _load(plane, top, left, on_top & on_left, fill).to(tl.float32),
        _load(plane, top, left + 1, on_top & on_right, fill).to(tl.float32),
        _load(plane, top + 1, left, on_bottom & on_left, fill).to(tl.float32),
        _load(plane, top + 1, left + 1, on_bottom & on_right, fill).to(tl.float32),
        source_column - floor_column,
        source_row - floor_row,
    )


@triton.jit
def warp(images, result, theta, channels, fill, MODE: tl.constexpr, THREADS: tl.constexpr, PIXELS: tl.constexpr):
    """One tile of one plane."""
    program = tl.program_id(0)
    tiles = tl.cdiv(images.layout.height * images.layout.width, THREADS * PIXELS)
    number = program // tiles
    plane = Image(_start_of(images, channels, number), images.layout)
    target = Image(_start_of(result, channels, number), result.layout)
    tile = pixels.tile_at(plane, program - number * tiles, THREADS, PIXELS)
    affine = _load_theta(theta + number // channels * 6, plane)
    x, y = families.from_centre(plane, tile.row, tile.column)
    source_column, source_row = families.source_of(affine, x, y)
    pointer = target.pointer + _offset(target, tile.row, tile.column)
    if MODE == NEAREST:
        tl.store(pointer, _nearest(plane, source_column, source_row, tile.inside, fill), mask=tile.inside)
    else:
        a, b, c, d, right, down = _taps(plane, source_column, source_row, tile.inside, fill)
        value = families.interpolate(a, b, c, d, right, down)
        tl.store(pointer, value.to(target.pointer.dtype.element_ty), mask=tile.inside)


@triton.jit
def sum_theta_gradients(
    images,
    gradient,
    theta,
    partials,
    channels,
    fill,
    STRIPES: tl.constexpr,
    THREADS: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """One stripe of one plane: what it adds to the gradient of theta. `partials` is [images, channels, stripes, 6]."""
    program = tl.program_id(0)
    number = program // STRIPES
    plane = Image(_start_of(images, channels, number), images.layout)
    upstream_plane = Image(_start_of(gradient, channels, number), gradient.layout)
    affine = _load_theta(theta + number // channels * 6, plane)
    tiles = tl.cdiv(images.layout.height * images.layout.width, THREADS * PIXELS)
    column_x = tl.zeros([THREADS], tl.float32)
    column_y = column_x
    column_start = column_x
    row_x = column_x
    row_y = column_x
    row_start = column_x
    position = program % STRIPES
    while position < tiles:
        tile = pixels.tile_at(plane, position, THREADS, PIXELS)
        x, y = families.from_centre(plane, tile.row, tile.column)
        source_column, source_row = families.source_of(affine, x, y)
        a, b, c, d, right, down = _taps(plane, source_column, source_row, tile.inside, fill)
        upstream = _load(upstream_plane, tile.row, tile.column, tile.inside, 0.0).to(tl.float32)
        by_column = upstream * ((b - a) + down * ((d - c) - (b - a)))
        by_row = upstream * ((c - a) + right * ((d - b) - (c - a)))
        column_x += tl.sum(by_column * x, axis=PIXEL_AXIS)
        column_y += tl.sum(by_column * y, axis=PIXEL_AXIS)
        column_start += tl.sum(by_column, axis=PIXEL_AXIS)
        row_x += tl.sum(by_row * x, axis=PIXEL_AXIS)
        row_y += tl.sum(by_row * y, axis=PIXEL_AXIS)
        row_start += tl.sum(by_row, axis=PIXEL_AXIS)
        position += STRIPES
    partial = partials + program.to(tl.int64) * 6
    width, height = images.layout.width, images.layout.height
    tl.store(partial, tl.sum(column_x, axis=0))
    tl.store(partial + 1, tl.sum(column_y, axis=0) * (width / height))
    tl.store(partial + 2, tl.sum(column_start, axis=0) * (width * 0.5))
    tl.store(partial + 3, tl.sum(row_x, axis=0) * (height / width))
    tl.store(partial + 4, tl.sum(row_y, axis=0))
    tl.store(partial + 5, tl.sum(row_start, axis=0) * (height * 0.5))


@triton.jit
def _nearest_weight(affine, plane, output_row, output_column, row, column):
    """1 where the output position reads the pixel, else 0."""
    x, y = families.from_centre(plane, output_row, output_column)
    source_column, source_row = families.source_of(affine, x, y)
    reads = (tl.floor(source_column + 0.5) == column) & (tl.floor(source_row + 0.5) == row)
    inside = families.within(output_row, plane.layout.height) & families.within(output_column, plane.layout.width)
    return tl.where(reads & inside, 1.0, 0.0)


@triton.jit
def gather_gradients(
    gradient, result, theta, channels, MODE: tl.constexpr, THREADS: tl.constexpr, PIXELS: tl.constexpr
):
    """One tile of one plane of the images' gradient, collected from the inverse map's window around each pixel."""
    program = tl.program_id(0)
    tiles = tl.cdiv(result.layout.height * result.layout.width, THREADS * PIXELS)
    number = program // tiles
    plane = Image(_start_of(gradient, channels, number), gradient.layout)
    target = Image(_start_of(result, channels, number), result.layout)
    tile = pixels.tile_at(target, program - number * tiles, THREADS, PIXELS)
    affine = _load_theta(theta + number // channels * 6, plane)
    window = image_gradient.window_around(affine, plane, tile.row, tile.column)
    collected = tl.zeros_like(tile.row).to(tl.float32)
    down = 0
    while down < window.rows:
        right = 0
        while right < window.columns:
            row, column = window.first_row + down, window.first_column + right
            if MODE == NEAREST:
                weight = _nearest_weight(affine, plane, row, column, tile.row, tile.column)
            else:
                weight = image_gradient.bilinear_weight(affine, plane, row, column, tile.row, tile.column)
            upstream = _load(plane, row, column, tile.inside & (weight > 0.0), 0.0).to(tl.float32)
            collected += weight * upstream
            right += 1
        down += 1
    pointer = target.pointer + _offset(target, tile.row, tile.column)
    tl.store(pointer, collected.to(target.pointer.dtype.element_ty), mask=tile.inside)
