"""What some operations need to know of the whole image: mean grey for Contrast, tables for AutoContrast and Equalize.

The kernel `count` sums each stripe of a large image by itself; `tabulate`, for the kernel `parameters.prepare`, adds
the stripes in order and makes the tables. No atomics. What an image does not need is not worked out.
"""

import triton
import triton.language as tl

from tst_kernels.fused import families, pixels
from tst_kernels.fused.pixels import Image, Tile
from tst_kernels.operations import OPERATIONS

CONTRAST = tl.constexpr(OPERATIONS["Contrast"].code)
AUTOCONTRAST = tl.constexpr(OPERATIONS["AutoContrast"].code)
EQUALIZE = tl.constexpr(OPERATIONS["Equalize"].code)
AUTOCONTRAST_TABLE = tl.constexpr(0)
EQUALIZE_TABLE = tl.constexpr(1)


@triton.jit
def _image_needs(codes, image_number, SLOTS: tl.constexpr):
    """Whether one image's draw needs tables, and whether it needs the mean grey."""
    slot = tl.arange(0, SLOTS)
    pointer = codes.pointer + image_number.to(tl.int64) * codes.image_stride + slot * codes.slot_stride
    code = tl.load(pointer, mask=slot < codes.slots, other=-1)
    needs_tables = tl.max(((code == AUTOCONTRAST) | (code == EQUALIZE)).to(tl.int32), axis=0) > 0
    return needs_tables, tl.max((code == CONTRAST).to(tl.int32), axis=0) > 0


@triton.jit
def _histogram(values, inside):
    """Counts of 256 values; lanes that are not inside hold 0 and are taken out of its count."""
    outside = tl.sum(tl.where(inside, 0, 1), axis=0)
    return tl.histogram(values.to(tl.int32), 256) - tl.where(tl.arange(0, 256) == 0, outside, 0)


@triton.jit
def _flat_tile(image, number, height, width, BLOCK: tl.constexpr):
    """Tile `number` of the canvas: inside are the pixels of the picture, height x width of them at the top left."""
    index = number * BLOCK + tl.arange(0, BLOCK)
    row = index // image.layout.width
    column = index - row * image.layout.width
    return Tile(index, row, column, (row < height) & (column < width))


@triton.jit
def _count_tiles(image, size, first, step, NEEDS_TABLES, BLOCK: tl.constexpr):
    """Histograms of the three channels, if needed, and the sum of the grey, over every step-th tile."""
    tiles = (image.layout.height * image.layout.width + BLOCK - 1) // BLOCK
    red = tl.zeros([256], tl.int32)
    green = tl.zeros([256], tl.int32)
    blue = tl.zeros([256], tl.int32)
    greys = tl.zeros([BLOCK], tl.float32)
    number = first
    while number < tiles:
        tile = _flat_tile(image, number, size[0], size[1], BLOCK)
        pixel = pixels.load_tile(image, tile)
        greys += families.grey(pixel)
        if NEEDS_TABLES:
            levels = pixels.eight_bit(image, pixel)
            red += _histogram(levels.red, tile.inside)
            green += _histogram(levels.green, tile.inside)
            blue += _histogram(levels.blue, tile.inside)
        number += step
    return red, green, blue, tl.sum(greys, axis=0)


@triton.jit
def count(images, codes, sizes, histograms, grey_sums, stripes, SLOTS: tl.constexpr, BLOCK: tl.constexpr):
    """One stripe of one image: its histograms [image, stripe, channel, 256] and the sum of its grey [image, stripe]."""
    program = tl.program_id(0)
    image_number = program // stripes
    needs_tables, needs_grey = _image_needs(codes, image_number, SLOTS)
    if needs_tables | needs_grey:
        image = Image(pixels.start_of(images, image_number), images.layout)
        size = pixels.size_of(images, sizes, image_number)
        first = program - image_number * stripes
        red, green, blue, grey = _count_tiles(image, size, first, stripes, needs_tables, BLOCK)
        tl.store(grey_sums + program, grey)
        if needs_tables:
            counts = histograms + program.to(tl.int64) * (3 * 256) + tl.arange(0, 256)
            tl.store(counts, red)
            tl.store(counts + 256, green)
            tl.store(counts + 512, blue)


@triton.jit
def _equalize_table(counts):
    """PIL's `ImageOps.equalize`: the step leaves out the last bin that is not empty."""
    value = tl.arange(0, 256)
    last = tl.max(tl.where(counts > 0, value, 0), axis=0)
    step = (tl.sum(counts, axis=0) - tl.sum(tl.where(value == last, counts, 0), axis=0)) // 255
    before = tl.cumsum(counts, axis=0) - counts
    table = tl.minimum((before + step // 2) // tl.maximum(step, 1), 255)
    return tl.where(step == 0, value, table)


@triton.jit
def _autocontrast_table(counts):
    """PIL's `ImageOps.autocontrast`, in whole numbers."""
    value = tl.arange(0, 256)
    lowest = tl.min(tl.where(counts > 0, value, 255), axis=0)
    highest = tl.max(tl.where(counts > 0, value, 0), axis=0)
    span = highest - lowest
    table = (tl.maximum(value - lowest, 0) * 255) // tl.maximum(span, 1)
    return tl.where(span <= 0, value, tl.minimum(table, 255))


@triton.jit
def _add_stripes(histograms, image_number, channel, are_counted, STRIPES: tl.constexpr):
    stripe = image_number.to(tl.int64) * STRIPES + tl.arange(0, STRIPES)
    offset = (stripe * 3 + channel)[:, None] * 256 + tl.arange(0, 256)[None, :]
    return tl.sum(tl.load(histograms + offset, mask=are_counted, other=0), axis=0)


@triton.jit
def _store_tables(table, channel, counts, are_needed):
    entry = table + channel * 256 + tl.arange(0, 256)
    autocontrast = tl.where(are_needed, _autocontrast_table(counts), 0)
    tl.store(entry + AUTOCONTRAST_TABLE * families.TABLE_SIZE, autocontrast.to(tl.uint8))
    equalize = tl.where(are_needed, _equalize_table(counts), 0)
    tl.store(entry + EQUALIZE_TABLE * families.TABLE_SIZE, equalize.to(tl.uint8))


@triton.jit
def tabulate(
    images,
    codes,
    size,
    histograms,
    grey_sums,
    tables,
    image_number,
    SLOTS: tl.constexpr,
    STRIPES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write an image's tables [table, channel, 256], and return its mean grey; zero where it does not need them.

    From what `count` found in its stripes; without histograms, the image is counted here.
    """
    needs_tables, needs_grey = _image_needs(codes, image_number, SLOTS)
    grey = 0.0
    table = tables + image_number * (2 * families.TABLE_SIZE)
    if needs_tables | needs_grey:
        if histograms is None:
            image = Image(pixels.start_of(images, image_number), images.layout)
            red, green, blue, grey = _count_tiles(image, size, 0, 1, needs_tables, BLOCK)
        else:
            grey = tl.sum(tl.load(grey_sums + image_number * STRIPES + tl.arange(0, STRIPES)), axis=0)
            red = _add_stripes(histograms, image_number, 0, needs_tables, STRIPES)
            green = _add_stripes(histograms, image_number, 1, needs_tables, STRIPES)
            blue = _add_stripes(histograms, image_number, 2, needs_tables, STRIPES)
        _store_tables(table, 0, red, needs_tables)
        _store_tables(table, 1, green, needs_tables)
        _store_tables(table, 2, blue, needs_tables)
    else:
        entry = tl.arange(0, 2048)
        tl.store(table + entry, 0, mask=entry < 2 * families.TABLE_SIZE)
    return tl.where(needs_grey, grey / (size[0] * size[1]), 0.0)
