"""Each operation against PIL, the library whose definitions it follows."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from tests.kernels.images import SCENES, photographs
from tests.kernels.tolerances import EIGHT_BIT, NEAREST_TIES
from tst_kernels import OPERATIONS, apply, warp

LEVELS = {True: (-1.0, -0.35, 0.0, 0.6, 1.0), False: (0.0, 0.1, 0.45, 0.8, 1.0)}
SHARE = 150 / 331
CASES = [
    (name, level)
    for name, operation in OPERATIONS.items()
    if name != "Cutout"  # PIL has none; closed form in test_reference.py
    for level in (LEVELS[operation.signed] if operation.has_level else (None,))
]


def _affine(image, a, b, c, d, e, f, resample=Image.Resampling.BILINEAR):
    return image.transform(image.size, Image.Transform.AFFINE, (a, b, c, d, e, f), resample)


PIL = {
    "ShearX": lambda image, level: _affine(image, 1, 0.3 * level, 0, 0, 1, 0),
    "ShearY": lambda image, level: _affine(image, 1, 0, 0, 0.3 * level, 1, 0),
    "TranslateX": lambda image, level: _affine(image, 1, 0, -SHARE * level * image.width, 0, 1, 0),
    "TranslateY": lambda image, level: _affine(image, 1, 0, 0, 0, 1, -SHARE * level * image.height),
    "Rotate": lambda image, level: image.rotate(30 * level, Image.Resampling.BILINEAR),
    "Brightness": lambda image, level: ImageEnhance.Brightness(image).enhance(1 + 0.9 * level),
    "Color": lambda image, level: ImageEnhance.Color(image).enhance(1 + 0.9 * level),
    "Contrast": lambda image, level: ImageEnhance.Contrast(image).enhance(1 + 0.9 * level),
    "Sharpness": lambda image, level: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * level),
    "Posterize": lambda image, level: ImageOps.posterize(image, round(8 - 4 * level)),
    "Solarize": lambda image, level: ImageOps.solarize(image, 255 * (1 - level)),
    "AutoContrast": lambda image, level: ImageOps.autocontrast(image),
    "Equalize": lambda image, level: ImageOps.equalize(image),
    "Invert": lambda image, level: ImageOps.invert(image),
}
EXACT = {"Posterize", "Solarize", "Equalize", "Invert"}
WARPS = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"}


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(("name", "level"), CASES)
def test_equals_pil(name, level, scene):
    images = SCENES[scene]
    result = apply(images, name, level)
    expected = np.stack([np.asarray(PIL[name](Image.fromarray(image.numpy()), level)) for image in images])
    expected = torch.from_numpy(expected).permute(0, 3, 1, 2) / 255
    if name in EXACT:
        torch.testing.assert_close(result, expected, atol=1e-6, rtol=0)
        return
    truncated = (result * 255 + 1e-3).floor() / 255
    # PIL repeats the border for half a pixel where torchvision and we blend into the fill: look inside only.
    inside = (
        apply(torch.ones_like(result), name, level) > 1 - 1e-6
        if name in WARPS
        else torch.full_like(result, True).bool()
    )
    if scene == "photographs":
        assert inside.float().mean() > 0.25
    torch.testing.assert_close(truncated[inside], expected[inside], atol=EIGHT_BIT + 1e-6, rtol=0)


@pytest.mark.parametrize("degrees", [-23.7, 11.3])
def test_nearest_warp_equals_pil(degrees):
    images = photographs()
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    aspect = images.shape[1] / images.shape[2]
    theta = torch.tensor([[cosine, -sine * aspect, 0], [sine / aspect, cosine, 0]]).expand(2, 2, 3)
    result = warp(images.permute(0, 3, 1, 2), theta, "nearest", fill=7).permute(0, 2, 3, 1)
    expected = [
        np.asarray(Image.fromarray(image.numpy()).rotate(degrees, Image.Resampling.NEAREST, fillcolor=(7, 7, 7)))
        for image in images
    ]
    assert (result != torch.from_numpy(np.stack(expected))).float().mean() < NEAREST_TIES
