"""A search step's gradient by a translation is the objective's difference over a pixel, not its slope between two."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from tst_fast.config.schema import Config, replace
from tst_fast.policy.augmenter import Augmenter
from tst_fast.policy.dither import dithered
from tst_fast.run.search import PolicySearch
from tst_fast.tasks.classification import Classification
from tst_kernels import OPERATIONS, Draw
from tst_pipelines import Batch

SIDE, COPIES = 16, 4096
FULL = 150 / 331 * SIDE  # pixels at level 1
CONFIG = replace(Config(), data__image_size=SIDE, data__mean=(0.0, 0.0, 0.0), data__std=(1.0, 1.0, 1.0))


class _Rough(nn.Module):
    """Logits that depend on how an image's rows and columns differ from pixel to pixel: blur changes them."""

    def __init__(self, seed):
        super().__init__()
        weights = torch.randn(3 * SIDE * SIDE, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self.weights = nn.Parameter(weights / SIDE)

    def forward(self, images):
        return (4 * (images.double() - 0.5)).square().flatten(1) @ self.weights


def _loss_and_gradient(name, level, copies, composed):
    """Of a search step on copies of a rough image, all translated by one level."""
    policy = nn.Module()
    policy.level = nn.Parameter(torch.tensor(level, dtype=torch.float64))

    def draw(batch, straight_through):
        codes = torch.full((batch, 1), OPERATIONS[name].code)
        return Draw(codes, policy.level.expand(batch, 1), torch.ones(batch, 1, dtype=torch.float64))

    policy.draw = draw
    image = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    accelerator, augmenter = Accelerator(cpu=True), Augmenter(policy, CONFIG.policy, CONFIG.data, composed=composed)
    search = PolicySearch(Classification(CONFIG, accelerator), augmenter, accelerator, _Rough(1), _Rough(2), 1)
    labels = torch.ones(copies, dtype=torch.int64)
    batch = Batch(image.expand(copies, -1, -1, -1).contiguous(), labels, np.arange(copies))
    loss = search.backward(batch, 1.0)["loss"].item()
    return loss, policy.level.grad.item()


@pytest.mark.parametrize("composed", [False, True])
@pytest.mark.parametrize("name", ["TranslateX", "TranslateY"])
def test_the_mean_gradient_is_the_difference_over_a_pixel(name, composed, monkeypatch):
    torch.manual_seed(0)
    level = 2.2 / FULL
    _, found = _loss_and_gradient(name, level, COPIES, composed)
    monkeypatch.setattr("tst_fast.run.search.dithered", lambda draw, *size: draw)
    ends = [_loss_and_gradient(name, level + half / FULL, 1, composed)[0] for half in (-0.5, 0.5)]
    expected = (ends[1] - ends[0]) * FULL
    _, of_one_phase = _loss_and_gradient(name, level, 1, composed)
    assert found == pytest.approx(expected, abs=0.1 * abs(of_one_phase - expected))
    assert abs(of_one_phase - expected) > 0.5 * abs(expected)


def test_only_translations_move_by_half_a_pixel_of_the_picture_and_within_the_range():
    names = ["TranslateX", "TranslateY", "Rotate", "Cutout"]
    codes = torch.tensor([[OPERATIONS[name].code for name in names]]).expand(4000, 4)
    levels = torch.tensor([[0.3, 0.3, 0.3, 0.3], [1.0, -1.0, 1.0, 0.0]]).repeat(2000, 1).requires_grad_()
    sizes = torch.tensor([[20, 40], [20, 40]]).repeat(2000, 1)
    torch.manual_seed(0)
    moved = dithered(Draw(codes, levels, torch.ones(4000, 4)), 64, 64, sizes).levels
    offset = (moved - levels).detach()
    assert (offset[:, 2:] == 0).all() and moved.abs().max() <= 1
    pixels = offset[::2, :2] * 150 / 331 * torch.tensor([40, 20])
    torch.testing.assert_close(pixels.abs().amax(0), torch.tensor([0.5, 0.5]), atol=0.01, rtol=0)
    torch.testing.assert_close(pixels.mean(0), torch.zeros(2), atol=0.03, rtol=0)
    (gradient,) = torch.autograd.grad(moved.sum(), levels)
    assert (gradient == 1).all()  # at the ends of the range too
