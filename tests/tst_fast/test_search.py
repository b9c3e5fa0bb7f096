"""The search finds what the teacher bears and the student does not, and leaves both as they were."""

import copy

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from pipelines import Batch
from tst_fast.config import DataConfig, PolicyConfig
from tst_fast.policy import Policy
from tst_fast.search import PolicySearch, frozen


class _Brightness(nn.Module):
    """Tells bright from dark; or, blind to inversion, how far from grey an image is."""

    def __init__(self, blind):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.blind = blind

    def forward(self, images):
        self.norm(images)  # moves its statistics in training mode, and only then
        value = images.mean(dim=(1, 2, 3)) - 0.5
        score = 8 * (value.abs() - 0.25 if self.blind else value)
        return torch.stack([-score, score], dim=1)


def _search(operations, **settings):
    policy = Policy(operations, operations_per_image=1, shared_draw=False)
    data = DataConfig(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    config = PolicyConfig(operations=list(operations), **settings)
    return PolicySearch(policy, config, Accelerator(cpu=True), data, _Brightness(True), _Brightness(False))


def _bright(batch=32):
    """Images far from grey and bright: both networks are sure of class 1, and only inversion tells them apart."""
    return Batch(
        torch.full((batch, 8, 8, 3), 240, dtype=torch.uint8), torch.ones(batch, dtype=torch.int64), np.arange(batch)
    )


def test_probability_rises_where_only_the_student_is_fooled():
    torch.manual_seed(0)
    search = _search(["Invert", "Color"], learning_rate=0.5)
    reports = [search.step(_bright()) for _ in range(60)]
    invert, color = search.policy.probabilities().tolist()
    assert invert > 0.9
    assert 0.4 < color < 0.6  # grey images: nothing to learn
    gaps = [(report["teacher_confidence"] - report["student_confidence"]).item() for report in reports]
    assert sum(gaps[-10:]) > sum(gaps[:10]) + 1


def test_teacher_and_student_stay_as_they_were():
    search = _search(["Invert", "Rotate"])
    search.teacher.eval()
    search.student.train()
    before = copy.deepcopy([search.teacher.state_dict(), search.student.state_dict()])
    search.step(_bright())
    for model, state in zip((search.teacher, search.student), before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
        assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert not search.teacher.training
    assert search.student.training


def test_frozen_restores_each_module():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[1].eval()
    model[0].bias.requires_grad_(False)
    with frozen(model):
        assert not any(parameter.requires_grad for parameter in model.parameters())
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == [True, True, False]
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]


@pytest.mark.parametrize(
    ("epoch_losses", "factor"),
    [
        ([2.0], 1.0),  # the first epoch has nothing to be compared with
        ([2.0, 1.9], 1.0),
        ([2.0, 1.99], 0.9),  # 0.01, and half a percent
        ([2.0, 2.5], 0.9),
        ([0.5, 0.485], 1.0),  # under 0.02 but 3 %
        ([5.0, 4.97], 1.0),  # under 2 % but 0.03
        ([2.0, 1.99, 1.989], 0.81),
    ],
)
def test_plateau_rule(epoch_losses, factor):
    search = _search(["Invert"], learning_rate=0.1)
    for loss in epoch_losses:
        search.end_epoch(loss)
    assert search.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * factor)
    search.begin()
    assert search.optimizer.param_groups[0]["lr"] == 0.1
