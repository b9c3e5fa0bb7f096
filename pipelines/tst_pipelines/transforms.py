"""The transforms of images on their way into a batch: which pixels are taken. Each loader implements them itself.

All randomness is `random_numbers` uniform numbers in [0, 1) for each image, given by the sampler. Images come out size
x size, or placed (`Placement`) on a canvas.
Whole batches are computed at once; the types are those that DALI takes.
Resizing is bilinear (in evaluation perhaps bicubic), with antialiasing where it shrinks, as PIL's; at the border DALI
repeats the edge where PIL and torch renormalise the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tst_pipelines.placement import Placement
from tst_pipelines.protocol import DataError


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

    random_numbers: ClassVar[int] = 3

    def __post_init__(self) -> None:
        _require(self.size > 0, f"PadAndCrop: size must be positive, got {self.size}")
        _require(self.padding >= 0, f"PadAndCrop: padding must be 0 or more, got {self.padding}")
        _require(0 <= self.flip <= 1, f"PadAndCrop: flip must be in 0..1, got {self.flip}")

    def crops(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each image is cropped.

        Args:
            numbers: float64 [B, 3], see above.

        Returns:
            Top and left in the padded image, int32 [B, 2], and 1 where the crop is mirrored, int32 [B, 1].
        """
        start = np.floor(numbers[:, :2] * (2 * self.padding + 1))
        return start.astype(np.int32), (numbers[:, 2:] < self.flip).astype(np.int32)


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
    random_numbers: ClassVar[int] = 23

    def __post_init__(self) -> None:
        _require(self.size > 0, f"RandomResizedCrop: size must be positive, got {self.size}")
        low, high = self.scale
        _require(0 < low <= high <= 1, f"RandomResizedCrop: scale must be 0 < least <= greatest <= 1, got {self.scale}")
        low, high = self.ratio
        _require(0 < low <= high, f"RandomResizedCrop: ratio must be 0 < least <= greatest, got {self.ratio}")
        _require(0 <= self.flip <= 1, f"RandomResizedCrop: flip must be in 0..1, got {self.flip}")

    def regions(self, shapes: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The part of each image that is taken, by torchvision's rule.

        Args:
            shapes: height and width of the images, int64 [B, 2 or more]; other columns are ignored.
            numbers: float64 [B, 23], see above.

        Returns:
            Top and left, height and width, int32 [B, 2] each, and 1 where the region is mirrored, int32 [B, 1].
        """
        whole = shapes[:, :2]
        sides = self._attempted(whole, numbers)
        fits = np.all((sides > 0) & (sides <= whole[:, None]), axis=2)
        first = fits.argmax(1)
        some = fits.any(1)[:, None]
        extent = np.where(some, sides[np.arange(len(sides)), first], self._fallback(whole))
        room = whole - extent
        start = np.where(some, np.floor(numbers[:, 20:22] * (room + 1)), room // 2)
        return start.astype(np.int32), extent.astype(np.int32), (numbers[:, 22:] < self.flip).astype(np.int32)

    def place(self, shapes: np.ndarray, numbers: np.ndarray) -> Placement:
        """The same as a `Placement` on a canvas that the region fills."""
        start, extent, mirrored = self.regions(shapes, numbers)
        whole = shapes[:, :2].astype(np.int32)
        return Placement(whole, start, extent, np.full_like(whole, self.size), mirrored, (self.size, self.size))

    def _attempted(self, whole: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Height and width of every attempt: float64 [B, attempts, 2], whole numbers."""
        attempts = self.attempts
        low, high = self.scale
        thin, wide = np.log(self.ratio)
        area = whole.prod(1)[:, None] * (low + (high - low) * numbers[:, :attempts])
        ratio = np.exp(thin + (wide - thin) * numbers[:, attempts : 2 * attempts])
        return np.rint(np.sqrt(np.stack([area / ratio, area * ratio], 2)))

    def _fallback(self, whole: np.ndarray) -> np.ndarray:
        """The largest region of a ratio that is allowed: [B, 2]."""
        thin, wide = self.ratio
        height, width = whole.T
        return np.minimum(whole, np.rint(np.stack([width / thin, height * wide], 1)))


@dataclass(frozen=True)
class ResizeCenterCrop:
    """The evaluation transform: torchvision's Resize then CenterCrop, with its rounding.

    Attributes:
        size: side of the output in pixels.
        resize: length of the shorter side before the crop, at least `size`; None resizes to size x size instead.
        interpolation: bilinear or bicubic, with antialiasing.
    """

    size: int
    resize: int | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    random_numbers: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _require(self.size > 0, f"ResizeCenterCrop: size must be positive, got {self.size}")
        fits = self.resize is None or self.resize >= self.size
        _require(fits, f"ResizeCenterCrop: resize must be at least size, {self.size}, got {self.resize}")

    def regions(self, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The part of each image that ends up in the crop; `resize` must not be None.

        Nothing else needs to be decoded, nor resized: of a panorama, the whole would not fit in memory.

        Args:
            shapes: height and width of the images, int64 [B, 2 or more]; other columns are ignored.

        Returns:
            Top and left, height and width of all pixels that have an influence, int32 [B, 2] each; and in them, where
            what is to become the crop begins and ends, float32 [B, 2] each: (y, x) of the pixels' edges.
        """
        whole = shapes[:, :2]
        sides = whole * self.resize // whole.min(1, keepdims=True)
        corner = np.rint((sides - self.size) / 2)
        scale = whole / sides
        begin, end = corner * scale, (corner + self.size) * scale
        radius = {"bilinear": 1, "bicubic": 2}[self.interpolation]
        reach = radius * np.maximum(scale, 1) + 1  # of the filter, and a pixel for roundings
        start = np.maximum(np.floor(begin - reach), 0)
        stop = np.minimum(np.ceil(end + reach), whole)
        edges = (begin - start).astype(np.float32), (end - start).astype(np.float32)
        return start.astype(np.int32), (stop - start).astype(np.int32), *edges


@dataclass(frozen=True)
class ScaleCropFlip:
    """The training transform of label maps: scale at random, crop at random, flip at random.

    Attributes:
        size: height and width of the output in pixels.
        scale: least and greatest factor of the image's size.
        flip: probability of a horizontal flip, 0..1.
        fill: colour, 0..255, right of and below an image that is smaller than `size` when scaled; the default is
            ImageNet's mean. Labels there are ignored.

    The numbers: the factor from u0, uniform; top from u1, left from u2, of the region that is then resized to what of
    the scaled image fits into `size`; flipped where u3 < flip. Sides of regions are whole pixels, so that the true
    factor is up to half a pixel of a side from the drawn one.
    """

    size: tuple[int, int]
    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    fill: tuple[int, int, int] = (124, 116, 104)

    random_numbers: ClassVar[int] = 4

    def __post_init__(self) -> None:
        _require_scaling(self)

    def place(self, shapes: np.ndarray, numbers: np.ndarray) -> Placement:
        """Where the batch is taken from.

        Args:
            shapes: height and width of the images, int64 [B, 2 or more]; other columns are ignored.
            numbers: float64 [B, 4], see above.
        """
        low, high = self.scale
        factors = low + (high - low) * numbers[:, :1]
        return _scaled(shapes[:, :2], factors, numbers[:, 1:3], numbers[:, 3:] < self.flip, self.size, self.fill)


@dataclass(frozen=True)
class Whole:
    """The evaluation transform of label maps: the image as it is, its sides made multiples of a number.

    Attributes:
        multiple: of this many pixels; many networks take no others.
        fill: colour, 0..255, of what is added right and below. Labels there are ignored.
    """

    multiple: int = 32
    fill: tuple[int, int, int] = (124, 116, 104)

    random_numbers: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _require(self.multiple > 0, f"Whole: multiple must be positive, got {self.multiple}")

    def place(self, shapes: np.ndarray, numbers: np.ndarray | None = None) -> Placement:
        """Where the batch is taken from: all of each image. `shapes` as for `ScaleCropFlip`, all the same."""
        whole = shapes[:, :2].astype(np.int32)
        nothing = np.zeros_like(whole)
        height, width = -(-whole.max(0) // self.multiple) * self.multiple
        return Placement(whole, nothing, whole, whole, nothing[:, :1], (int(height), int(width)), self.fill)


@dataclass(frozen=True)
class FitAndJitter:
    """The training transform of boxes: fit the image into a canvas, scale at random, crop at random, flip at random.

    Attributes:
        size: height and width of the canvas in pixels.
        scale: least and greatest factor of the size at which the image just fits.
        flip: probability of a horizontal flip, 0..1.
        fill: colour, 0..255, right of and below an image that is smaller than the canvas; the default is ImageNet's
            mean.

    The numbers: as `ScaleCropFlip`, but the logarithm of the factor is uniform.
    """

    size: tuple[int, int]
    scale: tuple[float, float] = (0.8, 1.25)
    flip: float = 0.5
    fill: tuple[int, int, int] = (124, 116, 104)

    random_numbers: ClassVar[int] = 4

    def __post_init__(self) -> None:
        _require_scaling(self)

    def place(self, shapes: np.ndarray, numbers: np.ndarray) -> Placement:
        """Where the batch is taken from; arguments as for `ScaleCropFlip`, `numbers` as above."""
        low, high = np.log(self.scale)
        factors = _fitting(shapes, self.size) * np.exp(low + (high - low) * numbers[:, :1])
        return _scaled(shapes[:, :2], factors, numbers[:, 1:3], numbers[:, 3:] < self.flip, self.size, self.fill)


@dataclass(frozen=True)
class FitAndPad:
    """The evaluation transform of boxes: the whole image, at the size that just fits into a canvas.

    Attributes:
        size: height and width of the canvas in pixels.
        fill: colour, 0..255, right of and below the image.
    """

    size: tuple[int, int]
    fill: tuple[int, int, int] = (124, 116, 104)

    random_numbers: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _require(min(self.size) > 0, f"FitAndPad: size must be positive, got {self.size}")

    def place(self, shapes: np.ndarray, numbers: np.ndarray | None = None) -> Placement:
        """Where the batch is taken from: all of each image. `shapes` as for `ScaleCropFlip`."""
        nothing = np.zeros((len(shapes), 2))
        return _scaled(shapes[:, :2], _fitting(shapes, self.size), nothing, nothing[:, :1], self.size, self.fill)


def _require_scaling(transform: ScaleCropFlip | FitAndJitter) -> None:
    name, (low, high) = type(transform).__name__, transform.scale
    _require(min(transform.size) > 0, f"{name}: size must be positive, got {transform.size}")
    _require(0 < low <= high, f"{name}: scale must be 0 < least <= greatest, got {transform.scale}")
    _require(0 <= transform.flip <= 1, f"{name}: flip must be in 0..1, got {transform.flip}")


def _fitting(shapes: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """The factor at which each image just fits into a canvas: float64 [B, 1]."""
    return (canvas / shapes[:, :2]).min(1, keepdims=True)


def _scaled(
    whole: np.ndarray,
    factors: np.ndarray,
    corners: np.ndarray,
    mirrored: np.ndarray,
    canvas: tuple[int, int],
    fill: tuple[int, int, int],
) -> Placement:
    """Images scaled by factors, [B, 1]; of what exceeds the canvas, the region at `corners`, [B, 2] in 0..1."""
    scaled = np.maximum(np.rint(whole * factors), 1)
    size = np.minimum(scaled, canvas)
    extent = np.clip(np.rint(size / scaled * whole), 1, whole)
    start = np.floor(corners * (whole - extent + 1))
    arrays = (array.astype(np.int32) for array in (whole, start, extent, size, mirrored))
    return Placement(*arrays, canvas=canvas, fill=fill)


Transform = PadAndCrop | RandomResizedCrop | ResizeCenterCrop | ScaleCropFlip | Whole | FitAndJitter | FitAndPad
PlacingTransform = RandomResizedCrop | ScaleCropFlip | Whole | FitAndJitter | FitAndPad
"""Transforms that label maps and boxes can follow."""
