"""Two pixels a thread whose channels lie side by side: six elements that are loaded and stored as three words.

Red, green, blue, red, green, blue: the first word holds a red and its green, the second a blue and the next red.
"""

import triton
import triton.language as tl

PIXEL_AXIS = tl.constexpr(-1 if triton.__version__.startswith("3.6.") else 0)
"""Of a tile, along which a thread's own pixels lie. Where no access says more, Triton 3.6 spreads neighbouring threads
along the first axis, and later ones along the last: that must be the other, or pixels wander through shared memory."""
PAIR = tl.constexpr(2)
"""Pixels a thread of a tile that is loaded and stored so."""
WORDS = 3
"""In a pair."""


@triton.jit
def join_pair(first, second):
    """A tile of each thread's two values."""
    pair = tl.join(first, second)
    return tl.trans(pair) if PIXEL_AXIS == 0 else pair


@triton.jit
def split_pair(pair):
    """The two of `join_pair`."""
    return tl.split(tl.trans(pair) if PIXEL_AXIS == 0 else pair)


@triton.jit
def _words_of(image, index):
    """Pointers to the first word of each thread, and whether its pixels are inside: [threads]."""
    WORD: tl.constexpr = tl.int16 if image.pointer.dtype.element_ty.primitive_bitwidth == 8 else tl.int32
    first, _ = split_pair(index)
    pointer = image.pointer.to(tl.pointer_type(WORD), bitcast=True) + first // 2 * image.layout.pair_words
    return pointer, first < image.layout.height * image.layout.width


@triton.jit
def _unpack(word, element: tl.constexpr):
    """The two elements of a word, the lower first, in int32 or float32.

    Bytes are cut off in 8 bits: of masks in 32 bits Triton 3.6 made addresses in the look-up tables that nothing
    computes (`Compiled.undefined` in benchmarks/ahead_of_time.py counts such).
    """
    if element.primitive_bitwidth == 8:
        return word.to(tl.uint8).to(tl.int32), (word >> 8).to(tl.uint8).to(tl.int32)
    else:
        low = word.to(tl.int16).to(element, bitcast=True)
        high = (word >> 16).to(tl.int16).to(element, bitcast=True)
        return low.to(tl.float32), high.to(tl.float32)


@triton.jit
def load(image, index):
    """Red, green and blue of an image as they are stored, in int32 or float32; zero outside.

    Args:
        image: of 8 or 16 bits a channel.
        index: of each pixel, a tile of pairs.
    """
    element: tl.constexpr = image.pointer.dtype.element_ty
    word, inside = _words_of(image, index)
    red, green = _unpack(tl.load(word, mask=inside, other=0), element)
    blue, next_red = _unpack(tl.load(word + 1, mask=inside, other=0), element)
    next_green, next_blue = _unpack(tl.load(word + 2, mask=inside, other=0), element)
    return join_pair(red, next_red), join_pair(green, next_green), join_pair(blue, next_blue)


@triton.jit
def _pack(low, high, element: tl.constexpr):
    first = low.to(element).to(tl.int16, bitcast=True).to(tl.int32) & 0xFFFF
    return first | (high.to(element).to(tl.int16, bitcast=True).to(tl.int32) << 16)


@triton.jit
def store(image, index, red, green, blue):
    """Write what `load` reads, to an image of 16 bits a channel."""
    element: tl.constexpr = image.pointer.dtype.element_ty
    word, inside = _words_of(image, index)
    red, next_red = split_pair(red)
    green, next_green = split_pair(green)
    blue, next_blue = split_pair(blue)
    tl.store(word, _pack(red, green, element), mask=inside)
    tl.store(word + 1, _pack(blue, next_red, element), mask=inside)
    tl.store(word + 2, _pack(next_green, next_blue, element), mask=inside)
