"""The doctor's verdict on normalisation: by what networks see, and by what their weights want."""

from types import SimpleNamespace

import pytest
import torch

from tst_fast.commands.normalisation import examine_normalisation, pixel_statistics
from tst_fast.config.schema import Config, replace


def _images(mean=0.5, std=0.25):
    """Batches of pixels of about this mean and standard deviation."""
    values = mean + std * torch.randn(4, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    return [SimpleNamespace(images=(255 * values).round().clamp(0, 255).to(torch.uint8)) for _ in range(2)]


def test_the_statistics_are_those_of_all_pixels():
    batches = _images()
    pixels = torch.cat([batch.images for batch in batches]).double().flatten(0, 2) / 255
    mean, std = pixel_statistics(batches)
    torch.testing.assert_close(mean, pixels.mean(0))
    torch.testing.assert_close(std, pixels.std(0, correction=0))


OWN = {"data__mean": (0.5,) * 3, "data__std": (0.25,) * 3}
WEIGHTS = {"teacher__name": "convnet", "teacher__checkpoint": "teacher.pth"}
CASES = {
    "the images' own": (OWN, "good"),
    "ImageNet's, from scratch": ({}, "good"),
    "ImageNet's, with weights that want it": ({"teacher__pretrained": True, "teacher__name": "resnet18"}, "good"),
    "far off, with weights that want it": (
        {**OWN, **WEIGHTS, "teacher__mean": (0.0,) * 3, "teacher__std": (0.1,) * 3},
        "good",
    ),
    "far off, from scratch": ({"data__mean": (0.1,) * 3, "data__std": (0.1,) * 3}, "doubtful"),
    "very far off, from scratch": ({"data__mean": (0.0,) * 3, "data__std": (0.05,) * 3}, "wrong"),
    "0 to 255": ({"data__mean": (128.0,) * 3, "data__std": (64.0,) * 3}, "wrong"),
    "somewhat off, from scratch": ({**OWN, "data__mean": (0.7,) * 3}, "good"),
    "somewhat off, with weights of unknown origin": ({**OWN, **WEIGHTS, "data__mean": (0.7,) * 3}, "doubtful"),
    "off, with weights of unknown origin": ({**OWN, **WEIGHTS, "data__mean": (0.8,) * 3}, "wrong"),
    "off, without the teacher": (
        {**OWN, **WEIGHTS, "data__mean": (0.7,) * 3, "distillation__teacher": False},
        "good",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_verdict(case):
    changes, state = CASES[case]
    finding = examine_normalisation(replace(Config(), **changes), _images())
    assert finding.state == state, finding.found
    assert bool(finding.remedy) == (state != "good")
