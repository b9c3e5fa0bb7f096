"""The gradient of a search step, through augmenter, networks, task and objective, is that of the objective."""

import dataclasses

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from tests.tst_fast.tasks.segmentation.smooth import MEAN, STD, smooth_images, trained
from tst_fast.config.schema import Config, replace
from tst_fast.policy.augmenter import Augmenter
from tst_fast.run.search import PolicySearch
from tst_fast.tasks.segmentation import Segmentation
from tst_kernels import OPERATIONS, Draw
from tst_pipelines import Batch

WARPS = ["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"]
CONFIG = replace(Config(task="segmentation"), data__mean=MEAN, data__std=STD)


class FixedPolicy(nn.Module):
    """Draws the same operations for each image, at levels and gates that are its parameters."""

    def __init__(self, operations, levels, gates):
        super().__init__()
        self.codes = torch.tensor([OPERATIONS[name].code for name in operations])
        self.levels = nn.Parameter(torch.tensor(levels, dtype=torch.float64))
        self.gates = nn.Parameter(torch.tensor(gates, dtype=torch.float64))

    def draw(self, batch_size, straight_through=False):
        rows = (values.expand(batch_size, -1) for values in (self.codes, self.levels, self.gates))
        return Draw(*rows, centres=torch.tensor([[0.4, 0.7]]).expand(batch_size, 2))


class LabelsThatMove(Segmentation):
    """The search that would mislead: labels are warped with the image, without a gradient."""

    def decisions(self, targets, geometry=None):
        still = torch.eye(2, 3, dtype=torch.float64).expand_as(geometry.theta)
        return super().decisions(self.moved(targets, geometry), dataclasses.replace(geometry, theta=still))


@pytest.fixture(autouse=True)
def levels_as_they_are_given(monkeypatch):
    """Not moved at random within a pixel, of which test_dither tells."""
    monkeypatch.setattr("tst_fast.run.search.dithered", lambda draw, *size: draw)


@pytest.fixture(scope="module")
def networks():
    return trained(8, 100), trained(4, 50)


def _search(networks, policy, task=Segmentation):
    """The objective's value; the gradients are the policy's."""
    images, labels = smooth_images()
    accelerator = Accelerator(cpu=True)
    augmenter = Augmenter(policy, CONFIG.policy, CONFIG.data, composed=True)
    search = PolicySearch(task(CONFIG, accelerator), augmenter, accelerator, *networks, window=1)
    return search.backward(Batch(images, labels, np.arange(2)), 1.0)["loss"].item()


def _difference(networks, policy, name, slot, step=1e-6):
    """The central difference of the objective by one level or gate.

    The step is so small because bilinear sampling has a kink wherever a position crosses a pixel's centre.
    """
    values = getattr(policy, name).data
    ends = []
    for change in (step, -2 * step):
        values[slot] += change
        ends.append(_search(networks, policy))
    values[slot] += step
    policy.zero_grad()
    return (ends[0] - ends[1]) / (2 * step)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("operation", WARPS)
def test_the_gradients_of_every_warp_are_those_of_the_objective(networks, operation, sign):
    """Alone and after another warp, beside operations that are none; of the gates, too."""
    policy = FixedPolicy(["Brightness", "Rotate", operation, "Cutout"], [0.3, 0.2, sign * 0.52, 0], [0.8, 0.7, 0.8, 1])
    if operation == "Rotate":
        policy = FixedPolicy(["Brightness", operation], [0.3, sign * 0.52], [0.8, 0.8])
    slot = policy.codes.tolist().index(OPERATIONS[operation].code)
    expected = {(name, i): _difference(networks, policy, name, i) for name in ("levels", "gates") for i in (0, slot)}
    _search(networks, policy)
    for (name, i), value in expected.items():
        assert getattr(policy, name).grad[i].item() == pytest.approx(value, rel=1e-4), (name, i)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("operation", WARPS)
def test_labels_that_move_without_a_gradient_mislead_the_search(networks, operation, sign):
    """Of about the same value, but another gradient."""
    policy = FixedPolicy([operation], [sign * 0.41], [1.0])
    plain = _search(networks, policy)
    expected = policy.levels.grad.item()
    policy.zero_grad()
    assert _search(networks, policy, LabelsThatMove) == pytest.approx(plain, rel=0.1)
    assert abs(policy.levels.grad.item() - expected) > 0.1 * abs(expected)


def test_a_gate_that_is_shut_passes_its_gradient_on(networks):
    """Straight-through gates are 0 or 1: at 0 a warp does nothing, and its gate still learns."""
    policy = FixedPolicy(["Rotate", "TranslateX"], [0.4, 0.4], [1.0, 0.0])
    expected = _difference(networks, policy, "gates", 1)
    _search(networks, policy)
    assert policy.gates.grad[1].item() == pytest.approx(expected, rel=1e-4) and abs(expected) > 0.01
