"""The same operations against torchvision on float images, which unlike PIL does not round."""

import math

import pytest
import torch
import torchvision.transforms.v2.functional as vision

from tests.kernels.images import SCENES
from tests.kernels.tolerances import FLOAT32, GREY, WARP
from tst_kernels import apply

BILINEAR = vision.InterpolationMode.BILINEAR


def _shear(x, horizontal, vertical):
    degrees = [math.degrees(math.atan(horizontal)), math.degrees(math.atan(vertical))]
    return vision.affine(x, 0, [0, 0], 1, degrees, BILINEAR, center=[0, 0])


def _translate(x, horizontal, vertical):
    pixels = [150 / 331 * horizontal * x.shape[3], 150 / 331 * vertical * x.shape[2]]
    return vision.affine(x, 0, pixels, 1, [0, 0], BILINEAR)


ORACLES = {
    "ShearX": (lambda x, level: _shear(x, 0.3 * level, 0), WARP),
    "ShearY": (lambda x, level: _shear(x, 0, 0.3 * level), WARP),
    "TranslateX": (lambda x, level: _translate(x, level, 0), WARP),
    "TranslateY": (lambda x, level: _translate(x, 0, level), WARP),
    "Rotate": (lambda x, level: vision.rotate(x, 30 * level, BILINEAR), WARP),
    "Brightness": (lambda x, level: vision.adjust_brightness(x, 1 + 0.9 * level), FLOAT32),
    "Color": (lambda x, level: vision.adjust_saturation(x, 1 + 0.9 * level), GREY),
    "Contrast": (lambda x, level: vision.adjust_contrast(x, 1 + 0.9 * level), GREY),
    "Sharpness": (lambda x, level: vision.adjust_sharpness(x, 1 + 0.9 * level), FLOAT32),
}


@pytest.mark.parametrize("scene", ["photographs", "odd", "tall"])
@pytest.mark.parametrize("level", [-1.0, -0.35, 0.2, 0.9])
@pytest.mark.parametrize("name", ORACLES)
def test_equals_torchvision(name, level, scene):
    images = SCENES[scene].permute(0, 3, 1, 2) / 255
    oracle, tolerance = ORACLES[name]
    torch.testing.assert_close(apply(images, name, level), oracle(images, level), atol=tolerance, rtol=0)
