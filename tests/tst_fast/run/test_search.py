"""The search finds what the teacher recognises and the student does not, and leaves both as they were."""

import copy
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from tst_fast.config.data import DataConfig
from tst_fast.config.policy import PolicyConfig
from tst_fast.config.schema import Config
from tst_fast.models.frozen import frozen
from tst_fast.policy.augmenter import Augmenter
from tst_fast.policy.policy import Policy
from tst_fast.run.gradient_noise import STANDS_OUT
from tst_fast.run.held_out_gap import confidences, untrained
from tst_fast.run.search import PolicySearch
from tst_fast.tasks.classification import Classification
from tst_pipelines import Batch


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


def _search(operations, window=100, **settings):
    policy = Policy(operations, operations_per_image=1, shared_draw=False)
    data = DataConfig(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    config = PolicyConfig(operations=list(operations), **settings)
    augmenter, accelerator = Augmenter(policy, config, data), Accelerator(cpu=True)
    task = Classification(Config(data=data, policy=config), accelerator)
    return PolicySearch(task, augmenter, accelerator, _Brightness(True), _Brightness(False), window)


def _bright(batch=32):
    """Images far from grey and bright: both networks are sure of class 1, and only inversion tells them apart."""
    return Batch(
        torch.full((batch, 8, 8, 3), 240, dtype=torch.uint8), torch.ones(batch, dtype=torch.int64), np.arange(batch)
    )


def test_probability_rises_where_only_the_student_is_fooled():
    torch.manual_seed(0)
    search = _search(["Invert", "Color"], learning_rate=0.5, gates="relaxed")
    reports = [search.step(_bright()) for _ in range(60)]
    invert, color = search.policy.probabilities().tolist()
    assert invert > 0.9
    assert 0.4 < color < 0.6  # grey images: nothing to learn
    gaps = [(report["teacher_confidence"] - report["student_confidence"]).item() for report in reports]
    assert sum(gaps[-10:]) > sum(gaps[:10]) + 1


def test_straight_through_gates_lead_there_too_and_their_gradient_stands_out():
    torch.manual_seed(0)
    search = _search(["Invert", "Color"], learning_rate=0.5, gates="straight_through")
    search.step(_bright())
    search.step(_bright())
    search.step(_bright())
    assert search.signal.statistics()["Invert"]["probability"] > STANDS_OUT
    for _ in range(57):
        search.step(_bright())
    invert, color = search.policy.probabilities().tolist()
    assert invert > 0.9
    assert 0.4 < color < 0.6


def test_the_students_term_counts_by_its_weight():
    """Two weights give, over the same draw, gradients whose difference is the student's term's."""
    gradients = []
    for weight in (0.5, 1.0, 2.0):
        search = _search(["Invert"], learning_rate=1.0, momentum=0.0, student_weight=weight)
        torch.manual_seed(0)
        search.step(_bright())
        gradients.append(search.policy.probability_logits.detach())
    assert gradients[1].abs().max() > 1e-3
    torch.testing.assert_close(gradients[2] - gradients[1], 2 * (gradients[1] - gradients[0]))
    assert not torch.allclose(gradients[0], gradients[1])


@pytest.mark.parametrize("composition", ["additive", "sequential"])
def test_soft_labels_of_one_class_are_that_class(composition):
    """Over the same draw: the same gradients and the same report."""
    gradients, reports = [], []
    for soft in (False, True):
        search = _search(["Invert", "Solarize"], composition=composition, learning_rate=1.0, momentum=0.0)
        batch = _bright()
        labels = nn.functional.one_hot(batch.labels, 2).float() if soft else batch.labels
        torch.manual_seed(0)
        reports.append(search.step(Batch(batch.images, labels, batch.indices)))
        gradients.append(search.policy.probability_logits.detach())
    assert gradients[0].abs().max() > 1e-3
    torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(reports[0], reports[1])


def test_the_gap_on_held_out_images_grows_with_what_was_learned():
    """Both know what is not inverted; the teacher alone what is: the gap is the share inverted, times a constant."""
    search = _search(["Invert"])
    session = SimpleNamespace(
        task=search.task,
        accelerator=search.accelerator,
        require_teacher=search.teacher.eval,
        student=search.student.eval(),
        test_loader=[_bright(200), _bright(100), _bright(0)],
    )
    with torch.no_grad():
        search.policy.probability_logits.fill_(torch.tensor(0.9).logit())
    torch.manual_seed(0)
    trained = confidences(session, search.augmenter)
    torch.manual_seed(0)
    before = confidences(session, untrained(search.augmenter))
    assert trained["gap"] == pytest.approx(trained["teacher"] - trained["student"])
    assert search.policy.probabilities().item() == pytest.approx(0.9)
    # Five standard deviations of a proportion of 300.
    assert trained["gap"] / before["gap"] == pytest.approx(0.9 / 0.5, rel=0.3)
    assert before["gap"] > 0.3


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
        search.end_window(loss)
    assert search.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * factor)
    search.begin()
    assert search.optimizer.param_groups[0]["lr"] == 0.1


def test_the_plateau_rule_is_asked_once_a_window():
    search = _search(["Color"], window=3, learning_rate=0.1)  # grey images: the loss stays
    rates = []
    for _ in range(9):
        search.step(_bright())
        rates.append(search.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1] * 5 + [0.09] * 3 + [0.081])


def test_a_search_goes_on_with_a_shorter_window():
    first = _search(["Color"], window=9, learning_rate=0.1)
    for _ in range(4):
        first.step(_bright())
    resumed = _search(["Color"], window=3, learning_rate=0.1)
    resumed.load_state_dict(first.state_dict())
    mean = (first.window_loss + resumed.step(_bright())["loss"]) / 5
    assert resumed.last_loss == pytest.approx(mean.item())
    assert resumed.window_steps == 0


def _certain_search(**settings):
    """One whose gates are the probability itself, the same for every image: nothing is left to chance."""
    search = _search(["Invert"], learning_rate=1.0, momentum=0.0, **settings)
    draw, probabilities = search.policy.draw, search.policy.probabilities

    def certain(batch_size, straight_through):
        drawn = draw(batch_size)
        return dataclasses.replace(drawn, gates=probabilities().expand_as(drawn.gates))

    search.policy.draw = certain
    return search


def test_parts_of_a_batch_give_its_gradient_and_its_norm_is_cut():
    searches = _certain_search(), _certain_search(accumulate=3), _certain_search(accumulate=3, clip_norm=1e-3)
    reports = [search.step(_bright(10)) for search in searches]
    whole, parts, clipped = (search.policy.probability_logits.item() for search in searches)
    assert parts == pytest.approx(whole)
    assert whole > 0.01
    assert clipped == pytest.approx(1e-3)
    assert reports[1]["loss"].item() == pytest.approx(reports[0]["loss"].item())
