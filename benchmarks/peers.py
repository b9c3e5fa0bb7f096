"""The same operations at the same levels in other libraries. Cutout is ours everywhere: none of them has it."""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from tst_kernels import OPERATIONS, apply

MOST = {name: OPERATIONS[name].magnitude(1.0) for name in ("ShearX", "TranslateX", "Rotate", "Brightness", "Posterize")}
"""Magnitudes at level 1: a tangent, a share of the side, degrees, a change of factor, the bits kept."""


class Unavailable(Exception):
    """A library that cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Peer:
    """A library's operations.

    Attributes:
        operations: name to function of images [B, 3, H, W] in 0..1 and a level.
        takes_numbers: whether levels are Python numbers, which get no gradient, instead of tensors [B].
    """

    operations: dict[str, Callable]
    takes_numbers: bool


def _require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise Unavailable(f"{package.replace('_', '-')} is not installed")


def _factor(level):
    return 1 + MOST["Brightness"] * level


def _bits(level):
    return 8 - (8 - MOST["Posterize"]) * level


def _cutout(x: Tensor, level: Tensor | float) -> Tensor:
    return apply(x, "Cutout")


def kornia() -> Peer:
    """Kornia's operations, its warps under matrices in pixels, input to output.

    Raises:
        Unavailable: it is not installed.
    """
    _require("kornia")
    import kornia.enhance as enhance
    import kornia.geometry.transform as geometry

    def affine(x: Tensor, *entries: Tensor | float) -> Tensor:
        columns = [torch.as_tensor(entry, dtype=x.dtype, device=x.device).expand(len(x)) for entry in entries]
        matrix = torch.stack(columns, dim=1).view(-1, 2, 3)
        return geometry.warp_affine(x, matrix, (x.shape[2], x.shape[3]), align_corners=False)

    shear, shift = MOST["ShearX"], MOST["TranslateX"]
    operations = {
        "ShearX": lambda x, level: affine(x, 1, -shear * level, -shear / 2 * level, 0, 1, 0),
        "ShearY": lambda x, level: affine(x, 1, 0, 0, -shear * level, 1, -shear / 2 * level),
        "TranslateX": lambda x, level: affine(x, 1, 0, shift * x.shape[3] * level, 0, 1, 0),
        "TranslateY": lambda x, level: affine(x, 1, 0, 0, 0, 1, shift * x.shape[2] * level),
        "Rotate": lambda x, level: geometry.rotate(x, MOST["Rotate"] * level, align_corners=False),
        "Brightness": lambda x, level: enhance.adjust_brightness_accumulative(x, _factor(level)),
        "Color": lambda x, level: enhance.adjust_saturation_with_gray_subtraction(x, _factor(level)),
        "Contrast": lambda x, level: enhance.adjust_contrast_with_mean_subtraction(x, _factor(level)),
        "Sharpness": lambda x, level: enhance.sharpness(x, _factor(level)),
        "Posterize": lambda x, level: enhance.posterize(x, _bits(level.detach()).round().int()),
        "Solarize": lambda x, level: enhance.solarize(x, 1 - level.detach()),
        "Equalize": lambda x, level: enhance.equalize(x),
        "Invert": lambda x, level: enhance.invert(x),
        "Cutout": _cutout,
    }
    return Peer(operations, takes_numbers=False)


def compiled_kornia() -> Peer:
    """Kornia's operations, each through `torch.compile`: tracing all of them takes minutes.

    Raises:
        Unavailable: it is not installed.
    """
    operations = kornia().operations
    return Peer({name: torch.compile(one, dynamic=True) for name, one in operations.items()}, takes_numbers=False)


def torchvision() -> Peer:
    """torchvision's transforms v2.

    Raises:
        Unavailable: it is not installed.
    """
    _require("torchvision")
    import torchvision.transforms.v2.functional as library

    operations = _like_torchvision(library, library.InterpolationMode.BILINEAR) | {
        "Sharpness": lambda x, level: library.adjust_sharpness(x, _factor(level)),
        "Posterize": lambda x, level: library.posterize(x, round(_bits(level))),
        "Solarize": lambda x, level: library.solarize(x, 1 - level),
        "Equalize": lambda x, level: library.equalize(x),
        "Invert": lambda x, level: library.invert(x),
        "Cutout": _cutout,
    }
    return Peer(operations, takes_numbers=True)


def triton_augment() -> Peer:
    """triton-augment's eight of the fourteen operations.

    Raises:
        Unavailable: it is not installed, or there is no CUDA GPU, on which alone it takes tensors.
    """
    _require("triton_augment")
    if not torch.cuda.is_available():
        raise Unavailable("triton-augment needs a CUDA GPU")
    import triton_augment.functional as library
    from torchvision.transforms import InterpolationMode

    return Peer(_like_torchvision(library, InterpolationMode.BILINEAR), takes_numbers=True)


def _like_torchvision(library: ModuleType, bilinear: object) -> dict[str, Callable]:
    """The operations that triton-augment has too, under torchvision's names and conventions."""

    def shear(x: Tensor, horizontal: float, vertical: float) -> Tensor:
        degrees = [math.degrees(math.atan(MOST["ShearX"] * tangent)) for tangent in (horizontal, vertical)]
        return library.affine(x, 0, [0, 0], 1, degrees, bilinear, center=[0, 0])

    def shift(x: Tensor, horizontal: float, vertical: float) -> Tensor:
        shares = ((x.shape[3], horizontal), (x.shape[2], vertical))
        return library.affine(x, 0, [MOST["TranslateX"] * side * share for side, share in shares], 1, [0, 0], bilinear)

    return {
        "ShearX": lambda x, level: shear(x, level, 0),
        "ShearY": lambda x, level: shear(x, 0, level),
        "TranslateX": lambda x, level: shift(x, level, 0),
        "TranslateY": lambda x, level: shift(x, 0, level),
        "Rotate": lambda x, level: library.rotate(x, MOST["Rotate"] * level, bilinear),
        "Brightness": lambda x, level: library.adjust_brightness(x, _factor(level)),
        "Color": lambda x, level: library.adjust_saturation(x, _factor(level)),
        "Contrast": lambda x, level: library.adjust_contrast(x, _factor(level)),
    }
