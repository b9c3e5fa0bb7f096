"""From levels to the parameters of each slot's family, and from the parameters' gradients back to levels.

The same definitions as `tst_kernels.operations.family_parameters`, in one kernel each way where PyTorch would launch a
hundred.
"""

import math
from typing import Any, NamedTuple

import triton
import triton.language as tl

from tst_kernels.fused import families, pixels, statistics
from tst_kernels.operations import (
    CUTOUT_SHARE,
    FACTOR_CHANGE,
    FAMILY_OF_CODE,
    OPERATIONS,
    POSTERIZE_BITS,
    ROTATION_DEGREES,
    SHEAR_TANGENT,
    TRANSLATION_SHARE,
    Family,
)


class Slots(NamedTuple):
    """One field of a draw in memory, [images, slots] with any strides, or [images, 2] for centres."""

    pointer: Any
    image_stride: Any
    slot_stride: Any
    slots: Any


def _code(name: str) -> tl.constexpr:
    return tl.constexpr(OPERATIONS[name].code)


SHEAR_X = _code("ShearX")
SHEAR_Y = _code("ShearY")
TRANSLATE_X = _code("TranslateX")
TRANSLATE_Y = _code("TranslateY")
ROTATE = _code("Rotate")
BRIGHTNESS = _code("Brightness")
COLOR = _code("Color")
CONTRAST = _code("Contrast")
SHARPNESS = _code("Sharpness")
POSTERIZE = _code("Posterize")
SOLARIZE = _code("Solarize")
EQUALIZE = _code("Equalize")
INVERT = _code("Invert")
CUTOUT = _code("Cutout")
OPERATION_COUNT = tl.constexpr(len(OPERATIONS))
# One bit an operation: whether it has a level.
_HAS_LEVEL = tl.constexpr(sum(operation.has_level << operation.code for operation in OPERATIONS.values()))
# Four bits an operation: the family of code c is (_FAMILIES >> 4 c) & 15.
_FAMILIES = tl.constexpr(sum(int(family) << (4 * code) for code, family in enumerate(FAMILY_OF_CODE)))
assert len(OPERATIONS) <= 15 and len(Family) <= 15

# In formulas a named constant stands on the right: on the left, Triton's interpreter would wrap the result in it.
SHEAR = tl.constexpr(SHEAR_TANGENT)
SHIFT = tl.constexpr(-2 * TRANSLATION_SHARE)
RADIANS = tl.constexpr(math.radians(ROTATION_DEGREES))
FACTOR = tl.constexpr(FACTOR_CHANGE)
BITS = tl.constexpr(float(POSTERIZE_BITS))
HALF_SIDE = tl.constexpr(CUTOUT_SHARE / 2)
_LOG_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def at(field, image_number, slot):
    """Pointers to one field's entries."""
    return field.pointer + image_number.to(tl.int64) * field.image_stride + slot * field.slot_stride


@triton.jit
def posterize_step(level):
    """2 to the number of bits dropped, rounded half to even."""
    dropped = tl.minimum(tl.maximum(level * BITS, 0.0), 8.0)
    rounded = tl.floor(dropped + 0.5).to(tl.int32)
    is_tie = rounded.to(tl.float32) - dropped == 0.5
    rounded -= (is_tie & (rounded % 2 == 1)).to(tl.int32)
    return (1 << rounded).to(tl.float32)


@triton.jit
def _sine(angle):
    """By its series: 6e-8 off at 90 degrees, three times Rotate's range. Triton's own may need a stack."""
    square = angle * angle
    series = 1.0 - square * (1.0 / 72.0) * (1.0 - square * (1.0 / 110.0))
    series = 1.0 - square * (1.0 / 6.0) * (1.0 - square * (1.0 / 20.0) * (1.0 - square * (1.0 / 42.0) * series))
    return angle * series


@triton.jit
def _cosine(angle):
    """By its series, as the sine."""
    square = angle * angle
    series = 1.0 - square * (1.0 / 90.0) * (1.0 - square * (1.0 / 132.0))
    series = 1.0 - square * (1.0 / 12.0) * (1.0 - square * (1.0 / 30.0) * (1.0 - square * (1.0 / 56.0) * series))
    return 1.0 - square * 0.5 * series


@triton.jit
def _warp_parameters(code, level, height, width):
    """The six numbers of `families.Affine`: the map in pixels."""
    angle = level * RADIANS
    rotates = code == ROTATE
    diagonal = tl.where(rotates, _cosine(angle), 1.0)
    sine = tl.where(rotates, _sine(angle), 0.0)
    shear_x = tl.where(code == SHEAR_X, level * SHEAR, 0.0)
    shear_y = tl.where(code == SHEAR_Y, level * SHEAR, 0.0)
    shift_x = tl.where(code == TRANSLATE_X, level * SHIFT, 0.0)
    shift_y = tl.where(code == TRANSLATE_Y, level * SHIFT, 0.0)
    return (
        diagonal,
        shear_x - sine,
        shear_x * (height * 0.5) + shift_x * (width * 0.5) + (width - 1) * 0.5,
        shear_y + sine,
        diagonal,
        shear_y * (width * 0.5) + shift_y * (height * 0.5) + (height - 1) * 0.5,
    )


@triton.jit
def _tone_parameters(code, level, mean_grey):
    """Up to three numbers of the families that look at one pixel or its neighbours."""
    factor = level * FACTOR + 1.0
    first = tl.where(code == POSTERIZE, posterize_step(level), factor)
    first = tl.where(code == SOLARIZE, 255.0 * (1.0 - level), first)
    first = tl.where(code == INVERT, -1.0, first)
    second = tl.where(code == COLOR, 1.0 - factor, 0.0)
    third = tl.where(code == CONTRAST, (1.0 - factor) * mean_grey, 0.0)
    return first, second, tl.where(code == INVERT, 255.0, third)


@triton.jit
def _centre(centres, image_number, height, width):
    """Where Cutout's square is, (row, column) in pixels."""
    if centres is None:
        return height * 0.5, width * 0.5
    else:
        row = tl.load(at(centres, image_number, 0)).to(tl.float32)
        return height * row, width * tl.load(at(centres, image_number, 1)).to(tl.float32)


@triton.jit
def _family_of(code, GEOMETRY: tl.constexpr):
    """NO_FAMILY where the slot does nothing: its code is unknown, or it is a warp and those are left out."""
    known = (code >= 0) & (code < OPERATION_COUNT)
    shift = tl.where(known, code, 0).to(tl.int64) * 4
    family = (((shift * 0 + _FAMILIES) >> shift) & 15).to(tl.int32)
    if not GEOMETRY:
        known = known & (family != families.WARP)
    return tl.where(known, family, families.NO_FAMILY)


@triton.jit
def _nan_if_not_finite(code, level):
    """Zero, or NaN where the operation has a level that is not finite."""
    position = tl.minimum(tl.maximum(code, 0), 31)
    has_level = ((position * 0 + _HAS_LEVEL) >> position) & 1
    return tl.where(has_level == 1, 0.0 * level, 0.0)


@triton.jit
def prepare(
    images,
    codes,
    levels,
    gates,
    centres,
    sizes,
    histograms,
    grey_sums,
    tables,
    mean_grey,
    parameters,
    family_codes,
    GEOMETRY: tl.constexpr,
    SLOTS: tl.constexpr,
    STRIPES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """What the mix needs to know of one image: its tables and mean grey, its slots' rows of parameters and families.

    `parameters` is [images, slots, 8], `family_codes` [images, slots]; the others are those of `statistics.tabulate`.
    """
    image_number = tl.program_id(0)
    height, width = pixels.size_of(images, sizes, image_number)
    size = height, width
    grey = statistics.tabulate(images, codes, size, histograms, grey_sums, tables, image_number, SLOTS, STRIPES, BLOCK)
    tl.store(mean_grey + image_number, grey)
    slot = tl.arange(0, SLOTS)
    valid = slot < codes.slots
    row = image_number * codes.slots + slot
    code = tl.load(at(codes, image_number, slot), mask=valid, other=0).to(tl.int32)
    level = tl.load(at(levels, image_number, slot), mask=valid, other=0.0).to(tl.float32)
    gate = tl.load(at(gates, image_number, slot), mask=valid, other=0.0).to(tl.float32)
    gate += 0.0 * gate + _nan_if_not_finite(code, level)  # NaN makes the whole image NaN
    family = _family_of(code, GEOMETRY)
    affine = _warp_parameters(code, level, height, width)
    tone = _tone_parameters(code, level, grey)
    half_side = tl.minimum(height, width) * HALF_SIDE
    middle_row, middle_column = _centre(centres, image_number, height, width)
    warps, erases, smooths = family == families.WARP, family == families.ERASE, family == families.SHARPNESS
    second, third = tl.where(smooths, height, tone[1]), tl.where(smooths, width, tone[2])
    first = tl.where(warps, affine[0], tl.where(erases, middle_row - half_side, tone[0]))
    second = tl.where(warps, affine[1], tl.where(erases, middle_column - half_side, second))
    third = tl.where(warps, affine[2], tl.where(erases, middle_row + half_side, third))
    fourth = tl.where(warps, affine[3], tl.where(erases, middle_column + half_side, 0.0))
    entry = parameters + row * families.COLUMNS
    tl.store(entry, tl.where(family == families.TABLE, 0.0, first), mask=valid)
    tl.store(entry + 1, second, mask=valid)
    tl.store(entry + 2, third, mask=valid)
    tl.store(entry + 3, fourth, mask=valid)
    tl.store(entry + 4, tl.where(warps, affine[4], 0.0), mask=valid)
    tl.store(entry + 5, tl.where(warps, affine[5], 0.0), mask=valid)
    tl.store(entry + families.GATE_COLUMN, tl.where(family == families.NO_FAMILY, 0.0, gate), mask=valid)
    table = tl.where(code == EQUALIZE, statistics.EQUALIZE_TABLE, statistics.AUTOCONTRAST_TABLE)
    tl.store(entry + families.TABLE_COLUMN, table.to(tl.float32), mask=valid)
    tl.store(family_codes + row, family, mask=valid)


@triton.jit
def _sum_stripes(partials, row, valid, column: tl.constexpr, STRIPES: tl.constexpr):
    """One column of the partial sums [images, slots, stripes, 8], added over the stripes: [slots]."""
    offset = (row[:, None] * STRIPES + tl.arange(0, STRIPES)[None, :]) * families.COLUMNS + column
    return tl.sum(tl.load(partials + offset, mask=valid[:, None], other=0.0), axis=1)


@triton.jit
def _level_gradient(code, level, mean_grey, by, height, width):
    """The chain rule from the six parameters' gradients, `by`, to the level's."""
    angle = level * RADIANS
    sine, cosine = _sine(angle), _cosine(angle)
    rotate = ((by[3] - by[1]) * cosine - (by[0] + by[4]) * sine) * RADIANS
    result = tl.where(code == SHEAR_X, (by[1] + by[2] * (height * 0.5)) * SHEAR, 0.0)
    result = tl.where(code == SHEAR_Y, (by[3] + by[5] * (width * 0.5)) * SHEAR, result)
    result = tl.where(code == TRANSLATE_X, by[2] * (width * 0.5) * SHIFT, result)
    result = tl.where(code == TRANSLATE_Y, by[5] * (height * 0.5) * SHIFT, result)
    result = tl.where(code == ROTATE, rotate, result)
    result = tl.where((code == BRIGHTNESS) | (code == SHARPNESS), by[0] * FACTOR, result)
    result = tl.where(code == COLOR, (by[0] - by[1]) * FACTOR, result)
    result = tl.where(code == CONTRAST, (by[0] - mean_grey * by[2]) * FACTOR, result)
    result = tl.where(code == POSTERIZE, posterize_step(level) * by[0] * (_LOG_2 * BITS), result)
    return tl.where(code == SOLARIZE, -255.0 * by[0], result)


@triton.jit
def compute_gradients(
    codes,
    levels,
    mean_grey,
    partials,
    images,
    sizes,
    level_gradients,
    gate_gradients,
    grey_gradients,
    SLOTS: tl.constexpr,
    STRIPES: tl.constexpr,
):
    """Of one image: the gradients of its levels, of its gates, and, by Contrast's mean, of each pixel's grey."""
    image_number = tl.program_id(0)
    height, width = pixels.size_of(images, sizes, image_number)
    slot = tl.arange(0, SLOTS)
    valid = slot < codes.slots
    row = image_number * codes.slots + slot
    code = tl.load(at(codes, image_number, slot), mask=valid, other=-1).to(tl.int32)
    level = tl.load(at(levels, image_number, slot), mask=valid, other=0.0).to(tl.float32)
    grey = tl.load(mean_grey + image_number)
    by = (
        _sum_stripes(partials, row, valid, 0, STRIPES),
        _sum_stripes(partials, row, valid, 1, STRIPES),
        _sum_stripes(partials, row, valid, 2, STRIPES),
        _sum_stripes(partials, row, valid, 3, STRIPES),
        _sum_stripes(partials, row, valid, 4, STRIPES),
        _sum_stripes(partials, row, valid, 5, STRIPES),
    )
    gate = _sum_stripes(partials, row, valid, families.GATE_COLUMN, STRIPES)
    gate += _nan_if_not_finite(code, level)
    tl.store(level_gradients + row, _level_gradient(code, level, grey, by, height, width), mask=valid)
    tl.store(gate_gradients + row, gate, mask=valid)
    through_mean = tl.where(valid & (code == CONTRAST), -level * by[2] * FACTOR, 0.0)
    tl.store(grey_gradients + image_number, tl.sum(through_mean, axis=0) / (height * width))
