"""What is done to an image on its way into a batch, as data: each loader applies it in its own way.

All randomness is `numbers` uniform numbers in [0, 1) for each image, given by the sampler. Images come out size x size.
Resizing is bilinear, with antialiasing where it shrinks, as PIL's; at the border DALI repeats the edge where PIL
renormalises the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipelines.protocol import DataError


def _require(valid: bool, message: str) -> None:
    if not valid:
        raise DataError(message)


@dataclass(frozen=True)
class PadAndCrop:
    """The training transform of small images: pad with black, crop at random, flip at random.

    Attributes:
        size: side of the output in pixels; an image of another size is first resized to size x size.
        padding: black pixels added on every side before the crop.
        flip: probability of a horizontal flip, 0..1.

    The numbers: top = floor(u0 (2 padding + 1)), left likewise from u1, flipped where u2 < flip.
    """

    size: int
    padding: int = 4
    flip: float = 0.5

    numbers: ClassVar[int] = 3

    def __post_init__(self) -> None:
        _require(self.size > 0, f"PadAndCrop: size must be positive, not {self.size}")
        _require(self.padding >= 0, f"PadAndCrop: padding must be 0 or more, not {self.padding}")
        _require(0 <= self.flip <= 1, f"PadAndCrop: flip is a probability, 0 to 1, not {self.flip}")


@dataclass(frozen=True)
class RandomResizedCrop:
    """The training transform of large images: torchvision's RandomResizedCrop, then a random horizontal flip.

    Attributes:
        size: side of the output in pixels.
        scale: least and greatest share of the image's area.
        ratio: least and greatest width / height of the region.
        flip: probability of a horizontal flip, 0..1.

    The numbers: area of the ten attempts from u0..u9, log of their ratio from u10..u19, top from u20, left from u21,
    flipped where u22 < flip. The first attempt that fits is taken; if none does, torchvision's central crop.
    """

    size: int
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5

    attempts: ClassVar[int] = 10
    numbers: ClassVar[int] = 23

    def __post_init__(self) -> None:
        _require(self.size > 0, f"RandomResizedCrop: size must be positive, not {self.size}")
        low, high = self.scale
        _require(0 < low <= high <= 1, f"RandomResizedCrop: scale must be 0 < least <= greatest <= 1, not {self.scale}")
        low, high = self.ratio
        _require(0 < low <= high, f"RandomResizedCrop: ratio must be 0 < least <= greatest, not {self.ratio}")
        _require(0 <= self.flip <= 1, f"RandomResizedCrop: flip is a probability, 0 to 1, not {self.flip}")


@dataclass(frozen=True)
class ResizeCenterCrop:
    """The evaluation transform: torchvision's Resize then CenterCrop, with its rounding.

    Attributes:
        size: side of the output in pixels.
        resize: length of the shorter side before the crop, at least `size`; None resizes to size x size instead.
    """

    size: int
    resize: int | None = None

    numbers: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _require(self.size > 0, f"ResizeCenterCrop: size must be positive, not {self.size}")
        fits = self.resize is None or self.resize >= self.size
        _require(fits, f"ResizeCenterCrop: resize ({self.resize}) must be at least size ({self.size})")


Transform = PadAndCrop | RandomResizedCrop | ResizeCenterCrop
