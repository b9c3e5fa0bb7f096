"""The mix: x + sum_k g_k (T_k(x) - x), scaled and shifted, in one pass over the images."""

import triton
import triton.language as tl

from tst_kernels.fused import families, pixels
from tst_kernels.fused.pixels import Image


@triton.jit
def mix(
    images,
    result,
    parameters,
    family_codes,
    tables,
    constants,
    slots,
    GEOMETRY: tl.constexpr,
    THREADS: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """One tile of one image. Without GEOMETRY no slot is a warp."""
    program = tl.program_id(0)
    tiles = tl.cdiv(images.layout.height * images.layout.width, THREADS * PIXELS)
    image_number = program // tiles
    image = Image(pixels.start_of(images, image_number), images.layout)
    tile = pixels.tile_at(image, program - image_number * tiles, THREADS, PIXELS)
    pixel = pixels.load_tile(image, tile)
    fill = pixels.fill_of(constants)
    tables += image_number * (2 * families.TABLE_SIZE)
    total = pixel
    row = image_number * slots
    end = row + slots
    while row < end:
        slot = parameters + row * families.COLUMNS
        changed = families.transform(tl.load(family_codes + row), slot, image, tile, pixel, tables, fill, GEOMETRY)
        gate = tl.load(slot + families.GATE_COLUMN)
        total = pixels.add(total, pixels.scale(pixels.subtract(changed, pixel), gate))
        row += 1
    normalised = pixels.multiply(total, pixels.scale_of(constants))
    normalised = pixels.add(normalised, pixels.shift_of(constants))
    pixels.store_tile(Image(pixels.start_of(result, image_number), result.layout), tile, normalised)
