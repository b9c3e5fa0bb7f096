"""The fifteen operations as data, and how a level becomes the parameters of a family.

The definitions are those of PIL and of torchvision's AutoAugment space (Cubuk et al., 2019). A level is in [-1, 1] for
a signed operation and in [0, 1] otherwise. To add an operation of an existing family, add one entry to `_TABLE`.

Parameters are at most six numbers, in the units the families work in: pixel values in 0..255, geometry in
`affine_grid`'s normalised coordinates, boxes in pixels. What a level of 1 means is named once, here: the Triton kernels
read the same names.

| family | parameters |
| --- | --- |
| WARP | theta, row by row: output position to input position |
| COLOUR | scale s, grey weight w, offset o: s x + w grey(x) + o |
| SHARPNESS | factor f: f x + (1 - f) smooth(x); the image's height and width, whose border is kept |
| POSTERIZE | step: the kept multiples |
| SOLARIZE | threshold: values at or above it are inverted |
| TABLE | none: the table is made from the image's histogram |
| ERASE | top, left, bottom, right of the box |
"""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

import torch
from torch import Tensor

PARAMETER_COUNT = 6
SHEAR_TANGENT = 0.3
"""Of ShearX and ShearY at level 1."""
TRANSLATION_SHARE = 150 / 331
"""Of the width or height, at level 1 of TranslateX and TranslateY."""
ROTATION_DEGREES = 30.0
"""Counter-clockwise, at level 1 of Rotate."""
FACTOR_CHANGE = 0.9
"""Added to the factor 1 at level 1 of Brightness, Color, Contrast and Sharpness."""
POSTERIZE_BITS = 4
"""Dropped of eight at level 1 of Posterize."""
CUTOUT_SHARE = 0.5
"""Side of Cutout's square as a share of the shorter side of the image."""
GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""ITU-R 601 luma, as PIL's conversion to "L"."""
LARGEST_WHITE = 255 + 6e-5
"""White that an operation keeps, after float32's roundings: up to here it passes gradients, above it is clamped."""
SOLARIZE_WIDTH = 0.05 * 255
"""Width, in 8-bit values, of the sigmoid whose derivative stands for that of Solarize's threshold."""


class Family(IntEnum):
    """Operations that share one piece of pixel arithmetic."""

    WARP = 0
    COLOUR = 1
    SHARPNESS = 2
    POSTERIZE = 3
    SOLARIZE = 4
    TABLE = 5
    ERASE = 6


@dataclass(frozen=True)
class Scene:
    """What besides the level decides an operation's parameters.

    Attributes:
        height: floating [B, 1], each image's height in pixels.
        width: floating [B, 1], each image's width in pixels.
        mean_grey: [B, 1], each image's mean of grey(x), 0..255.
        centres: [B, 1, 2], (y, x) of the erased square as a share of height and width, 0..1.
    """

    height: Tensor
    width: Tensor
    mean_grey: Tensor
    centres: Tensor


Parameters = tuple[Tensor | float, ...]


@dataclass(frozen=True)
class Operation:
    """One augmentation operation.

    Attributes:
        name: its name in PIL and in torchvision's AutoAugment space.
        code: its number in a `Draw`: its position in `OPERATIONS`.
        family: which pixel arithmetic it uses.
        signed: whether its level is in [-1, 1] rather than [0, 1].
        has_level: whether it has a level at all.
        unit: what `magnitude` counts.
        magnitude: level to physical magnitude, for people to read; zero-argument operations give 0.
        parameters: (level [B, K], scene) to the family's parameters, differentiable in the level.
    """

    name: str
    code: int
    family: Family
    signed: bool
    has_level: bool
    unit: str
    magnitude: Callable[[float], float]
    parameters: Callable[[Tensor, Scene], Parameters]

    def __reduce__(self) -> tuple[Callable[[str], "Operation"], tuple[str]]:
        return find_operation, (self.name,)  # what holds one can be pickled, though lambdas cannot


def _shear_x(level: Tensor, scene: Scene) -> Parameters:
    slope = SHEAR_TANGENT * level * (scene.height / scene.width)
    return 1.0, slope, slope, 0.0, 1.0, 0.0  # about the top-left corner, at (-1, -1)


def _shear_y(level: Tensor, scene: Scene) -> Parameters:
    slope = SHEAR_TANGENT * level * (scene.width / scene.height)
    return 1.0, 0.0, 0.0, slope, 1.0, slope


def _translate_x(level: Tensor, scene: Scene) -> Parameters:
    return 1.0, 0.0, -2 * TRANSLATION_SHARE * level, 0.0, 1.0, 0.0


def _translate_y(level: Tensor, scene: Scene) -> Parameters:
    return 1.0, 0.0, 0.0, 0.0, 1.0, -2 * TRANSLATION_SHARE * level


def _rotate(level: Tensor, scene: Scene) -> Parameters:
    angle = math.radians(ROTATION_DEGREES) * level
    cosine, sine = angle.cos(), angle.sin()
    aspect = scene.height / scene.width
    return cosine, -sine * aspect, 0.0, sine / aspect, cosine, 0.0


def _factor(level: Tensor) -> Tensor:
    return 1 + FACTOR_CHANGE * level


def _brightness(level: Tensor, scene: Scene) -> Parameters:
    return _factor(level), 0.0, 0.0


def _color(level: Tensor, scene: Scene) -> Parameters:
    return _factor(level), 1 - _factor(level), 0.0


def _contrast(level: Tensor, scene: Scene) -> Parameters:
    return _factor(level), 0.0, (1 - _factor(level)) * scene.mean_grey


def _sharpness(level: Tensor, scene: Scene) -> Parameters:
    return _factor(level), scene.height, scene.width


def _posterize(level: Tensor, scene: Scene) -> Parameters:
    dropped_bits = POSTERIZE_BITS * level
    dropped_bits = dropped_bits + (dropped_bits.round() - dropped_bits).detach()  # straight-through rounding
    return (dropped_bits.exp2(),)


def _solarize(level: Tensor, scene: Scene) -> Parameters:
    return (255 * (1 - level),)


def _invert(level: Tensor, scene: Scene) -> Parameters:
    return -1.0, 0.0, 255.0


def _no_parameters(level: Tensor, scene: Scene) -> Parameters:
    return ()


def _cutout(level: Tensor, scene: Scene) -> Parameters:
    return erased_box(scene)


def erased_box(scene: Scene) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, bottom and right of Cutout's square in pixels, [B, 1] each; it may reach beyond the image."""
    half_side = torch.minimum(scene.height, scene.width) * (CUTOUT_SHARE / 2)
    y, x = scene.centres[..., 0] * scene.height, scene.centres[..., 1] * scene.width
    return y - half_side, x - half_side, y + half_side, x + half_side


def _bits_kept(level: float) -> float:
    return 8.0 - round(POSTERIZE_BITS * level)


def _nothing(level: float) -> float:
    return 0.0


_FACTOR_UNIT = "factor minus 1"
_TABLE: tuple[tuple, ...] = (
    # name, family, signed, has a level, unit, level to magnitude, level to parameters
    ("ShearX", Family.WARP, True, True, "tangent", lambda level: SHEAR_TANGENT * level, _shear_x),
    ("ShearY", Family.WARP, True, True, "tangent", lambda level: SHEAR_TANGENT * level, _shear_y),
    ("TranslateX", Family.WARP, True, True, "share of width", lambda level: TRANSLATION_SHARE * level, _translate_x),
    ("TranslateY", Family.WARP, True, True, "share of height", lambda level: TRANSLATION_SHARE * level, _translate_y),
    ("Rotate", Family.WARP, True, True, "degrees", lambda level: ROTATION_DEGREES * level, _rotate),
    ("Brightness", Family.COLOUR, True, True, _FACTOR_UNIT, lambda level: FACTOR_CHANGE * level, _brightness),
    ("Color", Family.COLOUR, True, True, _FACTOR_UNIT, lambda level: FACTOR_CHANGE * level, _color),
    ("Contrast", Family.COLOUR, True, True, _FACTOR_UNIT, lambda level: FACTOR_CHANGE * level, _contrast),
    ("Sharpness", Family.SHARPNESS, True, True, _FACTOR_UNIT, lambda level: FACTOR_CHANGE * level, _sharpness),
    ("Posterize", Family.POSTERIZE, False, True, "bits kept", _bits_kept, _posterize),
    ("Solarize", Family.SOLARIZE, False, True, "threshold, 8-bit", lambda level: 255.0 * (1 - level), _solarize),
    ("AutoContrast", Family.TABLE, False, False, "", _nothing, _no_parameters),
    ("Equalize", Family.TABLE, False, False, "", _nothing, _no_parameters),
    ("Invert", Family.COLOUR, False, False, "", _nothing, _invert),
    ("Cutout", Family.ERASE, False, False, "", _nothing, _cutout),
)

OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        name: Operation(name, code, family, signed, has_level, unit, magnitude, parameters)
        for code, (name, family, signed, has_level, unit, magnitude, parameters) in enumerate(_TABLE)
    }
)
"""Every operation by name, in the order of their codes."""

FAMILY_OF_CODE: tuple[Family, ...] = tuple(operation.family for operation in OPERATIONS.values())


def find_operation(name: str) -> Operation:
    """The operation called `name`.

    Raises:
        ValueError: there is none; the message offers the nearest name.
    """
    if name not in OPERATIONS:
        near = difflib.get_close_matches(str(name).lower(), [known.lower() for known in OPERATIONS], n=1, cutoff=0.5)
        hint = next((f"; did you mean {known!r}?" for known in OPERATIONS if [known.lower()] == near), "")
        raise ValueError(f"unknown operation {name!r}{hint or '.'} The operations are {', '.join(OPERATIONS)}.")
    return OPERATIONS[name]


def family_parameters(
    operations: Tensor,
    levels: Tensor,
    scene: Scene,
    among: Iterable[Operation] = OPERATIONS.values(),
    otherwise: Sequence[float] = (0.0,) * PARAMETER_COUNT,
) -> Tensor:
    """The parameters of every slot of a draw, padded with zeros to six.

    Args:
        operations: integer [B, K], operation codes.
        levels: floating [B, K].
        scene: sizes, mean grey and centres, in the dtype and on the device of `levels`.
        among: the operations that are looked for.
        otherwise: the parameters of all others.

    Returns:
        [B, K, 6] in the dtype of `levels`, differentiable in `levels` and `scene.mean_grey`. The parameters of each
        operation looked for are computed for every slot and one is selected, so that nothing waits for the device.
    """
    numbers: dict[float, Tensor] = {}  # few different ones, each made once

    def column(value: Tensor | float) -> Tensor:
        if isinstance(value, Tensor):
            return value.expand_as(levels)
        if value not in numbers:
            numbers[value] = torch.full_like(levels, value)
        return numbers[value]

    rows = torch.stack([column(value) for value in otherwise], dim=-1)
    for operation in among:
        values = (*operation.parameters(levels, scene), *(0.0,) * PARAMETER_COUNT)[:PARAMETER_COUNT]
        columns = [column(value) for value in values]
        rows = torch.where((operations == operation.code)[..., None], torch.stack(columns, dim=-1), rows)
    return rows
