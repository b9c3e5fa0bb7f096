"""Where pixels lie in memory, how they are loaded and stored, and arithmetic on three channels at once.

Every kernel works on tiles of threads by pixels a thread, over the flat pixel index of one image. Two-dimensional tiles
of rows and columns were tried: they cost registers and shared memory.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from tst_kernels.fused import pairs
from tst_kernels.fused.pairs import PAIR, PIXEL_AXIS
from tst_kernels.operations import LARGEST_WHITE

LARGEST = tl.constexpr(LARGEST_WHITE)

# Fields are pointers and integers on the host, and tensors or compile-time constants in a kernel.


class Layout(NamedTuple):
    """How the pixels of an image lie in memory. Strides count elements.

    Attributes:
        channel_stride: from one channel to the next; None where a pixel is one element: a grey value, or, where the
            elements are 32-bit integers, three channels and an unused byte (RGBX).
        row_stride: from one row to the next; None where rows follow each other without a gap.
        column_stride: from one column to the next.
        height: rows.
        width: columns.
        pair_words: words of twice an element's size in two pixels, where these lie side by side, channel by channel,
            and begin where a word may; else None.
    """

    channel_stride: Any
    row_stride: Any
    column_stride: Any
    height: Any
    width: Any
    pair_words: Any = None


class Images(NamedTuple):
    """A batch of images: its first element, the stride from one image to the next, and what all images share."""

    pointer: Any
    image_stride: Any
    layout: Any


class Image(NamedTuple):
    """One image: its first element and its layout.

    Kernels make it where they need it, as Image(start_of(images, number), images.layout): no function of Triton 3.6 can
    return the None that a layout may hold.
    """

    pointer: Any
    layout: Any


class Tile(NamedTuple):
    """The pixels of one image that a program works on: all fields have the shape of the tile.

    Attributes:
        index: row * width + column.
        row: row in the image.
        column: column in the image.
        inside: false where the tile reaches beyond the image.
    """

    index: Any
    row: Any
    column: Any
    inside: Any


class Pixel(NamedTuple):
    """Three channels of a tile, or one value a channel. A grey image has the same value three times."""

    red: Any
    green: Any
    blue: Any


@triton.jit
def start_of(images, number):
    """Where one image of a batch begins: 64-bit, as a batch may hold over 2^31 elements; an image's offsets fit 32."""
    return images.pointer + number.to(tl.int64) * images.image_stride


@triton.jit
def size_of(images, sizes, number):
    """Height and width of one picture: of `sizes`, int32 [images, 2], or without them those of the canvas."""
    if sizes is None:
        return images.layout.height, images.layout.width
    else:
        return tl.load(sizes + number * 2), tl.load(sizes + number * 2 + 1)


@triton.jit
def tile_at(image, number, THREADS: tl.constexpr, PIXELS: tl.constexpr):
    """Tile `number` of an image: [PIXELS, THREADS], or the other way round, as PIXEL_AXIS says."""
    if PIXEL_AXIS == 0:
        lane = tl.arange(0, PIXELS)[:, None] + tl.arange(0, THREADS)[None, :] * PIXELS
    else:
        lane = tl.arange(0, THREADS)[:, None] * PIXELS + tl.arange(0, PIXELS)[None, :]
    index = number * (THREADS * PIXELS) + lane
    row = index // image.layout.width
    return Tile(index, row, index - row * image.layout.width, index < image.layout.height * image.layout.width)


@triton.jit
def _offset_of(image, tile):
    if image.layout.row_stride is None:
        return tile.index * image.layout.column_stride
    else:
        return tile.row * image.layout.row_stride + tile.column * image.layout.column_stride


@triton.jit
def _offset_at(image, row, column):
    if image.layout.row_stride is None:
        return (row * image.layout.width + column) * image.layout.column_stride
    else:
        return row * image.layout.row_stride + column * image.layout.column_stride


@triton.jit
def _load(image, offset, mask):
    """Pixels as they are stored; zero where the mask is false."""
    first = tl.load(image.pointer + offset, mask=mask, other=0)
    if image.pointer.dtype.element_ty == tl.int32:
        return Pixel(first & 255, (first >> 8) & 255, (first >> 16) & 255)
    elif image.layout.channel_stride is None:
        value = _in_32_bits(first)
        return Pixel(value, value, value)
    else:
        second = tl.load(image.pointer + (offset + image.layout.channel_stride), mask=mask, other=0)
        third = tl.load(image.pointer + (offset + 2 * image.layout.channel_stride), mask=mask, other=0)
        return Pixel(_in_32_bits(first), _in_32_bits(second), _in_32_bits(third))


@triton.jit
def _in_32_bits(value):
    """In float32 or int32."""
    return value.to(tl.float32) if value.dtype.is_floating() else value.to(tl.int32)


@triton.jit
def _to_255(value):
    return value * 255.0 if value.dtype.is_floating() else value.to(tl.float32)


@triton.jit
def to_255(stored):
    """Pixels as they are stored, or sums of such, in 0..255: that is what whole numbers are."""
    return Pixel(_to_255(stored.red), _to_255(stored.green), _to_255(stored.blue))


@triton.jit
def _load_pairs(image, tile):
    """The tile's own pixels as they are stored, of an image in pairs."""
    red, green, blue = pairs.load(image, tile.index)
    return Pixel(red, green, blue)


@triton.jit
def load_tile(image, tile):
    """The tile's own pixels, in 0..255."""
    if image.layout.pair_words is not None and tile.index.shape[PIXEL_AXIS] == PAIR:
        return to_255(_load_pairs(image, tile))
    else:
        return to_255(_load(image, _offset_of(image, tile), tile.inside))


@triton.jit
def load_at(image, row, column, mask):
    """The pixels at (row, column), in 0..255; zero where the mask is false, which must hold beyond the image."""
    return to_255(load_stored_at(image, row, column, mask))


@triton.jit
def load_stored_at(image, row, column, mask):
    """The same as they are stored, in int32 or float32: what is added before it is converted costs less."""
    return _load(image, _offset_at(image, row, column), mask)


@triton.jit
def _load_gradient(gradient, offset, mask):
    """Gradients of a result; that of a grey image belongs to its first channel, so that sums over channels hold."""
    first = tl.load(gradient.pointer + offset, mask=mask, other=0.0).to(tl.float32)
    if gradient.layout.channel_stride is None:
        nothing = tl.zeros_like(first)
        return Pixel(first, nothing, nothing)
    else:
        second = tl.load(gradient.pointer + (offset + gradient.layout.channel_stride), mask=mask, other=0.0)
        third = tl.load(gradient.pointer + (offset + 2 * gradient.layout.channel_stride), mask=mask, other=0.0)
        return Pixel(first, second.to(tl.float32), third.to(tl.float32))


@triton.jit
def load_gradient_tile(gradient, tile):
    """The result's gradients at the tile's own pixels."""
    if gradient.layout.pair_words is not None and tile.index.shape[PIXEL_AXIS] == PAIR:
        return _load_pairs(gradient, tile)
    else:
        return _load_gradient(gradient, _offset_of(gradient, tile), tile.inside)


@triton.jit
def load_gradient_at(gradient, row, column, mask):
    """The result's gradients at (row, column); zero where the mask is false."""
    return _load_gradient(gradient, _offset_at(gradient, row, column), mask)


@triton.jit
def store_tile(image, tile, pixel):
    """Write the tile's own pixels, converted to the image's type."""
    if image.layout.pair_words is not None and tile.index.shape[PIXEL_AXIS] == PAIR:
        pairs.store(image, tile.index, pixel.red, pixel.green, pixel.blue)
    else:
        pointer = image.pointer + _offset_of(image, tile)
        element = image.pointer.dtype.element_ty
        tl.store(pointer, pixel.red.to(element), mask=tile.inside)
        if image.layout.channel_stride is not None:
            tl.store(pointer + image.layout.channel_stride, pixel.green.to(element), mask=tile.inside)
            tl.store(pointer + 2 * image.layout.channel_stride, pixel.blue.to(element), mask=tile.inside)


class Constants(NamedTuple):
    """Nine numbers: each channel's scale, its shift and Cutout's fill.

    Attributes:
        numbers: the nine, where the host knows them, else None.
        pointer: to the nine, where only the device knows them, else None.
    """

    numbers: Any
    pointer: Any


@triton.jit
def _channel_values(constants, FIRST: tl.constexpr):
    if constants.pointer is None:
        return Pixel(constants.numbers[FIRST], constants.numbers[FIRST + 1], constants.numbers[FIRST + 2])
    else:
        first = constants.pointer + FIRST
        return Pixel(tl.load(first), tl.load(first + 1), tl.load(first + 2))


@triton.jit
def scale_of(constants):
    """What each channel is multiplied by."""
    return _channel_values(constants, 0)


@triton.jit
def shift_of(constants):
    """What is then added to each channel."""
    return _channel_values(constants, 3)


@triton.jit
def fill_of(constants):
    """What Cutout fills each channel with, in 0..255."""
    return _channel_values(constants, 6)


@triton.jit
def add(a, b):
    """a + b, channel by channel."""
    return Pixel(a.red + b.red, a.green + b.green, a.blue + b.blue)


@triton.jit
def subtract(a, b):
    """a - b, channel by channel."""
    return Pixel(a.red - b.red, a.green - b.green, a.blue - b.blue)


@triton.jit
def multiply(a, b):
    """a * b, channel by channel."""
    return Pixel(a.red * b.red, a.green * b.green, a.blue * b.blue)


@triton.jit
def scale(pixel, factor):
    """One factor for all channels."""
    return Pixel(pixel.red * factor, pixel.green * factor, pixel.blue * factor)


@triton.jit
def select(condition, a, b):
    """One condition for all channels."""
    return Pixel(
        tl.where(condition, a.red, b.red), tl.where(condition, a.green, b.green), tl.where(condition, a.blue, b.blue)
    )


@triton.jit
def total(pixel):
    """The sum of the channels."""
    return pixel.red + pixel.green + pixel.blue


@triton.jit
def dot(a, b):
    """The sum over the channels of a * b."""
    return a.red * b.red + a.green * b.green + a.blue * b.blue


@triton.jit
def _clamp(value):
    at_least = tl.maximum(value, 0.0, propagate_nan=tl.PropagateNan.ALL)
    return tl.minimum(at_least, 255.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def clamp(pixel):
    """Each channel held to 0..255; NaN stays NaN."""
    return Pixel(_clamp(pixel.red), _clamp(pixel.green), _clamp(pixel.blue))


@triton.jit
def _passed(gradient, value):
    return tl.where((value < 0.0) | (value > LARGEST), 0.0, gradient)


@triton.jit
def where_unclamped(gradient, pixel):
    """The gradient that `clamp` lets through: none where the value lies beyond the bounds, all of it on them."""
    return Pixel(
        _passed(gradient.red, pixel.red), _passed(gradient.green, pixel.green), _passed(gradient.blue, pixel.blue)
    )


@triton.jit
def _eight_bit(value):
    return tl.minimum(tl.maximum(tl.floor(value + 0.5), 0.0), 255.0)


@triton.jit
def eight_bit(image, pixel):
    """The 8-bit value of an image's pixel, rounded half up, still floating point; NaN's is 0: it may be an index."""
    if image.pointer.dtype.element_ty.is_floating():
        return Pixel(_eight_bit(pixel.red), _eight_bit(pixel.green), _eight_bit(pixel.blue))
    else:  # which it is
        return pixel
