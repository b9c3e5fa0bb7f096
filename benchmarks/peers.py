"""The same operations at the same levels in other libraries. Cutout is ours everywhere: none of them has it."""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import kornia.enhance as enhance
import kornia.geometry.transform as geometry
import torch
import torchvision.transforms.v2.functional as vision
from torch import Tensor

from tst_kernels import apply

SHARE = 150 / 331
BILINEAR = vision.InterpolationMode.BILINEAR


@dataclass(frozen=True)
class Peer:
    """A library's operations.

    Attributes:
        operations: name to function of images [B, 3, H, W] in 0..1 and a level.
        takes_numbers: whether levels are Python numbers, which get no gradient, instead of tensors [B].
    """

    operations: dict[str, Callable]
    takes_numbers: bool


def _kornia_affine(x: Tensor, *entries: Tensor | float) -> Tensor:
    """Kornia's warp under a matrix in pixels, input to output."""
    columns = [torch.as_tensor(entry, dtype=x.dtype, device=x.device).expand(len(x)) for entry in entries]
    matrix = torch.stack(columns, dim=1).view(-1, 2, 3)
    return geometry.warp_affine(x, matrix, (x.shape[2], x.shape[3]), align_corners=False)


def _factor(level):
    return 1 + 0.9 * level


def _cutout(x: Tensor, level: Tensor | float) -> Tensor:
    return apply(x, "Cutout")


KORNIA = Peer(
    {
        "ShearX": lambda x, level: _kornia_affine(x, 1, -0.3 * level, -0.15 * level, 0, 1, 0),
        "ShearY": lambda x, level: _kornia_affine(x, 1, 0, 0, -0.3 * level, 1, -0.15 * level),
        "TranslateX": lambda x, level: _kornia_affine(x, 1, 0, SHARE * x.shape[3] * level, 0, 1, 0),
        "TranslateY": lambda x, level: _kornia_affine(x, 1, 0, 0, 0, 1, SHARE * x.shape[2] * level),
        "Rotate": lambda x, level: geometry.rotate(x, 30 * level, align_corners=False),
        "Brightness": lambda x, level: enhance.adjust_brightness_accumulative(x, _factor(level)),
        "Color": lambda x, level: enhance.adjust_saturation_with_gray_subtraction(x, _factor(level)),
        "Contrast": lambda x, level: enhance.adjust_contrast_with_mean_subtraction(x, _factor(level)),
        "Sharpness": lambda x, level: enhance.sharpness(x, _factor(level)),
        "Posterize": lambda x, level: enhance.posterize(x, (8 - 4 * level.detach()).round().int()),
        "Solarize": lambda x, level: enhance.solarize(x, 1 - level.detach()),
        "Equalize": lambda x, level: enhance.equalize(x),
        "Invert": lambda x, level: enhance.invert(x),
        "Cutout": _cutout,
    },
    takes_numbers=False,
)


def _like_torchvision(library: ModuleType) -> dict[str, Callable]:
    """The operations that triton-augment has too, under torchvision's names and conventions."""

    def shear(x: Tensor, horizontal: float, vertical: float) -> Tensor:
        degrees = [math.degrees(math.atan(horizontal)), math.degrees(math.atan(vertical))]
        return library.affine(x, 0, [0, 0], 1, degrees, BILINEAR, center=[0, 0])

    def shift(x: Tensor, horizontal: float, vertical: float) -> Tensor:
        pixels = [SHARE * x.shape[3] * horizontal, SHARE * x.shape[2] * vertical]
        return library.affine(x, 0, pixels, 1, [0, 0], BILINEAR)

    return {
        "ShearX": lambda x, level: shear(x, 0.3 * level, 0),
        "ShearY": lambda x, level: shear(x, 0, 0.3 * level),
        "TranslateX": lambda x, level: shift(x, level, 0),
        "TranslateY": lambda x, level: shift(x, 0, level),
        "Rotate": lambda x, level: library.rotate(x, 30 * level, BILINEAR),
        "Brightness": lambda x, level: library.adjust_brightness(x, _factor(level)),
        "Color": lambda x, level: library.adjust_saturation(x, _factor(level)),
        "Contrast": lambda x, level: library.adjust_contrast(x, _factor(level)),
    }


TORCHVISION = Peer(
    {
        **_like_torchvision(vision),
        "Sharpness": lambda x, level: vision.adjust_sharpness(x, _factor(level)),
        "Posterize": lambda x, level: vision.posterize(x, round(8 - 4 * level)),
        "Solarize": lambda x, level: vision.solarize(x, 1 - level),
        "Equalize": lambda x, level: vision.equalize(x),
        "Invert": lambda x, level: vision.invert(x),
        "Cutout": _cutout,
    },
    takes_numbers=True,
)


def triton_augment() -> Peer | None:
    """triton-augment's eight of the fourteen operations; it takes tensors on a CUDA GPU only."""
    if not torch.cuda.is_available() or importlib.util.find_spec("triton_augment") is None:
        return None
    import triton_augment.functional as library

    return Peer(_like_torchvision(library), takes_numbers=True)
