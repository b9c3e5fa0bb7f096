"""The gradient of the search's objective, through augmenter, boxes and detectors, is that of its value."""

import pytest
import torch
from accelerate import Accelerator

from tests.tst_fast.detectors import tiny
from tst_fast.config.schema import Config, replace
from tst_fast.losses.search import confidence_terms
from tst_fast.models.detection import TwoStageOutput
from tst_fast.policy.augmenter import Augmenter, Geometry
from tst_fast.tasks.detection import Detection
from tst_fast.tasks.detection.objects import score_logits
from tst_kernels import OPERATIONS, Draw
from tst_pipelines import Targets

WARPS = ["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"]
CONFIG = replace(Config(task="detection"), data__name="scenes", data__crop="fit", data__crop_size=(96, 96))
STEP = 1e-7  # bilinear sampling has a kink wherever a position crosses a pixel's centre, and so have the networks
BOXES = torch.tensor([[[12.0, 10, 40, 52], [44, 38, 90, 80]], [[20, 4, 60, 33], [0, 0, 0, 0]]])
TARGETS = Targets(torch.tensor([[1, 3], [0, -1]]), BOXES, torch.tensor([[96, 96], [64, 80]]))


@pytest.fixture(scope="module")
def pairs():
    return {kind: [tiny(kind, seed).double() for seed in (0, 1)] for kind in ("fcos", "retinanet", "faster_rcnn")}


def _images():
    """Smooth colours, float64 [2, 96, 96, 3] in 0..1, with the pictures at the top left."""
    y, x = (torch.linspace(0, 3, 96, dtype=torch.float64) for _ in range(2))
    waves = [torch.sin(y[:, None] * a + x * b + c) for a, b, c in ((2, 1, 0), (1, 3, 1), (3, 2, 2), (1, 1, 3))]
    return torch.stack([torch.stack(waves[i : i + 3]) for i in (0, 1)]) / 4 + 0.5


def _objective(pair, draw, task=Detection):
    """The value, differentiable in the draw."""
    asker = task(CONFIG, Accelerator(cpu=True))
    augmenter = Augmenter(None, CONFIG.policy, CONFIG.data, composed=True)
    images, geometry = augmenter.apply(_images(), draw, TARGETS.sizes)
    asked = asker.decisions(TARGETS, geometry)
    answers = [asker.answers(network(images), asked) for network in pair]
    return sum(confidence_terms(*answers, asked.labels, asked.weights))


def _draw(operation, level, gate=0.8):
    codes = torch.tensor([[OPERATIONS[name].code for name in ("Brightness", operation)]]).expand(2, -1)
    brightness = torch.tensor([[0.3, 0.7]], dtype=torch.float64)
    levels = torch.cat([brightness[:, :1], level.view(1, 1)], dim=1).expand(2, -1)
    gates = torch.cat([brightness[:, 1:], torch.as_tensor(gate, dtype=torch.float64).view(1, 1)], dim=1).expand(2, -1)
    return Draw(codes, levels, gates)


def _check(pair, operation, level, task=Detection):
    """The derivative by the level, and the central difference."""
    start = torch.tensor(level, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(_objective(pair, _draw(operation, start), task), start)
    with torch.no_grad():
        ends = [_objective(pair, _draw(operation, start + step), task).item() for step in (STEP, -STEP)]
    return found.item(), (ends[0] - ends[1]) / (2 * STEP)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("operation", WARPS)
@pytest.mark.parametrize("kind", ["fcos", "retinanet"])
def test_of_every_warp(pairs, kind, operation, sign):
    found, expected = _check(pairs[kind], operation, 0.29 * sign)
    assert found == pytest.approx(expected, rel=1e-5)
    assert abs(expected) > 1e-4


@pytest.mark.parametrize("operation", ["TranslateX", "Rotate"])
def test_of_two_stages_with_regions_that_stay(pairs, operation, monkeypatch):
    """What is proposed moves with the image, and has no gradient, as in the detector's training."""
    kept, find = {}, TwoStageOutput._best_regions

    def first_found(self, *arguments):
        return kept.setdefault(id(self.detector), find(self, *arguments))

    monkeypatch.setattr(TwoStageOutput, "_best_regions", first_found)
    found, expected = _check(pairs["faster_rcnn"], operation, 0.29)
    assert found == pytest.approx(expected, rel=1e-5)
    assert abs(expected) > 1e-4


class BoxesWithoutGradient(Detection):
    """The search that would mislead."""

    def moved(self, targets, geometry):
        return super().moved(targets, Geometry(geometry.theta.detach(), geometry.erased, geometry.size))


@pytest.mark.parametrize("operation", WARPS)
def test_boxes_without_a_gradient_mislead_the_search(pairs, operation):
    (with_boxes, value), (without, same) = (
        _check(pairs["fcos"], operation, 0.29, task) for task in (Detection, BoxesWithoutGradient)
    )
    assert value == pytest.approx(same)
    assert abs(without - with_boxes) > 0.02 * abs(with_boxes)


def test_every_level_and_gate_of_an_operation_is_reached(pairs):
    for name, operation in OPERATIONS.items():
        level = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
        gate = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
        value = _objective(pairs["fcos"], _draw(name, level, gate))
        gradients = torch.autograd.grad(value, [level, gate], allow_unused=True)
        assert gradients[1].abs() > 0, name
        assert not operation.has_level or gradients[0].abs() > 0, name


def test_the_objective_is_bounded(pairs):
    """However far boxes are pushed: a search cannot gain without end."""
    blind, seeing = torch.zeros(1, 3), torch.ones(1, 3)
    asked = Detection(CONFIG, Accelerator(cpu=True)).decisions(
        Targets(torch.tensor([[0, 1, -1]]), torch.zeros(1, 3, 4))
    )

    def value(teacher, student):
        return sum(confidence_terms(score_logits(teacher), score_logits(student), asked.labels, asked.weights)).item()

    assert value(seeing, blind) == pytest.approx(0, abs=1e-5)
    assert 20 < value(blind, seeing) < 32
