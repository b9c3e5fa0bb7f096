"""images/s of the additive augmentation on the torch backend, beside kornia and torchvision doing the same work.

Every arm sums the same gated operations, x + sum_k g_k (T_k(x) - x), on the same images at the same levels: seven draws
of four operations that hold each of the paper's fourteen operations twice. Cutout is our own in every arm, since the
others have no such function. torchvision takes its levels as Python numbers, so it gives gradients to gates alone.

    python benchmarks/augment.py --size 224 --batch 32
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import kornia.enhance as enhance
import kornia.geometry.transform as geometry
import torch
import torchvision.transforms.v2.functional as vision
from torch import Tensor

from benchmarks.measure import interleaved, machine, publish, rates
from kernels import OPERATIONS, Draw, apply, mix

PAPER = [name for name in OPERATIONS if name != "AutoContrast"]
BILINEAR = vision.InterpolationMode.BILINEAR


def _affine(x: Tensor, *rows: Tensor | float) -> Tensor:
    """kornia's warp under a matrix in pixels, input to output."""
    values = [torch.as_tensor(value, dtype=x.dtype).expand(len(x)) for value in rows]
    matrix = torch.stack(values, dim=1).view(-1, 2, 3)
    return geometry.warp_affine(x, matrix, (x.shape[2], x.shape[3]), align_corners=False)


KORNIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ShearX": lambda x, level: _affine(x, 1, -0.3 * level, -0.15 * level, 0, 1, 0),
    "ShearY": lambda x, level: _affine(x, 1, 0, 0, -0.3 * level, 1, -0.15 * level),
    "TranslateX": lambda x, level: _affine(x, 1, 0, 150 / 331 * x.shape[3] * level, 0, 1, 0),
    "TranslateY": lambda x, level: _affine(x, 1, 0, 0, 0, 1, 150 / 331 * x.shape[2] * level),
    "Rotate": lambda x, level: geometry.rotate(x, 30 * level, align_corners=False),
    "Brightness": lambda x, level: enhance.adjust_brightness_accumulative(x, 1 + 0.9 * level),
    "Color": lambda x, level: enhance.adjust_saturation_with_gray_subtraction(x, 1 + 0.9 * level),
    "Contrast": lambda x, level: enhance.adjust_contrast_with_mean_subtraction(x, 1 + 0.9 * level),
    "Sharpness": lambda x, level: enhance.sharpness(x, 1 + 0.9 * level),
    "Posterize": lambda x, level: enhance.posterize(x, (8 - 4 * level.detach()).round().int()),
    "Solarize": lambda x, level: enhance.solarize(x, 1 - level.detach()),
    "Equalize": lambda x, level: enhance.equalize(x),
    "Invert": lambda x, level: enhance.invert(x),
    "Cutout": lambda x, level: apply(x, "Cutout"),
}


def _shear(x: Tensor, horizontal: float, vertical: float) -> Tensor:
    degrees = [math.degrees(math.atan(horizontal)), math.degrees(math.atan(vertical))]
    return vision.affine(x, 0, [0, 0], 1, degrees, BILINEAR, center=[0, 0])


def _shift(x: Tensor, horizontal: float, vertical: float) -> Tensor:
    pixels = [150 / 331 * x.shape[3] * horizontal, 150 / 331 * x.shape[2] * vertical]
    return vision.affine(x, 0, pixels, 1, [0, 0], BILINEAR)


TORCHVISION: dict[str, Callable[[Tensor, float], Tensor]] = {
    "ShearX": lambda x, level: _shear(x, 0.3 * level, 0),
    "ShearY": lambda x, level: _shear(x, 0, 0.3 * level),
    "TranslateX": lambda x, level: _shift(x, level, 0),
    "TranslateY": lambda x, level: _shift(x, 0, level),
    "Rotate": lambda x, level: vision.rotate(x, 30 * level, BILINEAR),
    "Brightness": lambda x, level: vision.adjust_brightness(x, 1 + 0.9 * level),
    "Color": lambda x, level: vision.adjust_saturation(x, 1 + 0.9 * level),
    "Contrast": lambda x, level: vision.adjust_contrast(x, 1 + 0.9 * level),
    "Sharpness": lambda x, level: vision.adjust_sharpness(x, 1 + 0.9 * level),
    "Posterize": lambda x, level: vision.posterize(x, round(8 - 4 * level)),
    "Solarize": lambda x, level: vision.solarize(x, 1 - level),
    "Equalize": lambda x, level: vision.equalize(x),
    "Invert": lambda x, level: vision.invert(x),
    "Cutout": lambda x, level: apply(x, "Cutout"),
}


def _draws() -> list[list[str]]:
    """Seven draws of four distinct operations; each operation is in two of them."""
    order = [PAPER[i] for i in torch.randperm(len(PAPER), generator=torch.Generator().manual_seed(0)).tolist()]
    return [[order[(2 * i + j) % len(order)] for j in range(4)] for i in range(7)]


def _ours(images: Tensor, level: Tensor, gates: Tensor, compiled: bool) -> list[Tensor]:
    results = []
    for names in _draws():
        codes = torch.tensor([OPERATIONS[name].code for name in names], dtype=torch.int32)
        size = (len(images), len(names))
        draw = Draw(codes.expand(size), level[:, None].expand(size), gates)
        results.append(mix(images, draw, backend="torch", compile=compiled))
    return results


def _theirs(images: Tensor, level: Tensor, gates: Tensor, library: dict, scalar: bool) -> list[Tensor]:
    results = []
    for names in _draws():
        total = images
        for slot, name in enumerate(names):
            changed = library[name](images, float(level.detach()[0]) if scalar else level)
            total = total + gates[:, slot, None, None, None] * (changed - images)
        results.append(total)
    return results


def _arms(images: Tensor, backward: bool) -> dict[str, Callable[[], None]]:
    level = torch.full((len(images),), 0.5, requires_grad=backward)
    gates = torch.full((len(images), 4), 0.7, requires_grad=backward)
    weights = torch.rand_like(images)

    def arm(function: Callable[..., list[Tensor]], *arguments: object) -> Callable[[], None]:
        def run() -> None:
            with torch.set_grad_enabled(backward):
                results = function(images, level, gates, *arguments)
            if backward:
                for result in results:
                    result.backward(weights)

        return run

    return {
        "kornia": arm(_theirs, KORNIA, False),
        "torchvision": arm(_theirs, TORCHVISION, True),
        "ours": arm(_ours, False),
        "ours, compiled": arm(_ours, True),
    }


def check_same_work(images: Tensor) -> dict[str, float]:
    """Largest difference of each other library's result from ours, over all draws, in 0..1."""
    level, gates = torch.full((len(images),), 0.5), torch.full((len(images), 4), 0.7)
    ours = _ours(images, level, gates, False)
    others = {"kornia": (KORNIA, False), "torchvision": (TORCHVISION, True)}
    return {
        name: max((a - b).abs().max().item() for a, b in zip(ours, _theirs(images, level, gates, *how), strict=True))
        for name, how in others.items()
    }


def main() -> None:
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224, help="image side in pixels")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    torch.manual_seed(0)
    images = torch.randint(0, 256, (options.batch, 3, options.size, options.size)) / 255
    about = machine("kornia", "torchvision") | {"size": options.size, "batch": options.batch, "rounds": options.rounds}
    about["largest_difference"] = check_same_work(images[:2])
    every = []
    for backward in (False, True):
        seconds = interleaved(_arms(images, backward), options.rounds)
        rows = rates(seconds, options.batch * len(_draws()), "kornia")
        passes = "forward + backward" if backward else "forward"
        every += [{"passes": passes, **row} for row in rows]
    publish(f"Augmentation, {options.size} px, batch {options.batch}, torch backend, CPU", every, about, options.json)
    print("largest difference from ours:", about["largest_difference"])


if __name__ == "__main__":
    main()
