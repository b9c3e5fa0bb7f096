"""Gradients of the mix to every slot's parameters and gate, as partial sums that are added in order afterwards."""

import triton
import triton.language as tl

from tst_kernels.fused import families, pixels
from tst_kernels.fused.families import Derivatives
from tst_kernels.fused.pixels import Image


@triton.jit
def _add(a, b):
    return Derivatives(
        a.first + b.first,
        a.second + b.second,
        a.third + b.third,
        a.fourth + b.fourth,
        a.fifth + b.fifth,
        a.sixth + b.sixth,
        a.gate + b.gate,
    )


@triton.jit
def _store(partial, sums, gate):
    """Write a row of partial sums."""
    tl.store(partial, tl.sum(sums.first, axis=0) * gate)
    tl.store(partial + 1, tl.sum(sums.second, axis=0) * gate)
    tl.store(partial + 2, tl.sum(sums.third, axis=0) * gate)
    tl.store(partial + 3, tl.sum(sums.fourth, axis=0) * gate)
    tl.store(partial + 4, tl.sum(sums.fifth, axis=0) * gate)
    tl.store(partial + 5, tl.sum(sums.sixth, axis=0) * gate)
    tl.store(partial + families.GATE_COLUMN, tl.sum(sums.gate, axis=0))


@triton.jit
def sum_gradients(
    images,
    gradient,
    parameters,
    family_codes,
    tables,
    constants,
    partials,
    slots,
    GEOMETRY: tl.constexpr,
    STRIPES: tl.constexpr,
    THREADS: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """One stripe of one image for one slot: every STRIPES-th tile. `partials` is [images, slots, stripes, 8]."""
    program = tl.program_id(0)
    image_number = program // (slots * STRIPES)
    stripe = (program // slots) % STRIPES
    row = image_number * slots + program % slots
    image = Image(pixels.start_of(images, image_number), images.layout)
    upstream_image = Image(pixels.start_of(gradient, image_number), gradient.layout)
    tiles = tl.cdiv(images.layout.height * images.layout.width, THREADS * PIXELS)
    factors = pixels.scale_of(constants)
    fill = pixels.fill_of(constants)
    tables += image_number * (2 * families.TABLE_SIZE)
    slot = parameters + row * families.COLUMNS
    family = tl.load(family_codes + row)
    nothing = tl.zeros([THREADS], tl.float32)
    sums = Derivatives(nothing, nothing, nothing, nothing, nothing, nothing, nothing)
    number = tl.where(family == families.NO_FAMILY, tiles, stripe)
    while number < tiles:
        tile = pixels.tile_at(image, number, THREADS, PIXELS)
        pixel = pixels.load_tile(image, tile)
        upstream = pixels.multiply(pixels.load_gradient_tile(upstream_image, tile), factors)
        sums = _add(sums, families.derivatives(family, slot, image, tile, pixel, upstream, tables, fill, GEOMETRY))
        number += STRIPES
    partial = partials + (row * STRIPES + stripe) * families.COLUMNS
    gate = tl.load(slot + families.GATE_COLUMN)
    _store(partial, sums, gate)
