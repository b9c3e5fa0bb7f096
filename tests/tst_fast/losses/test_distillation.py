"""The student's losses: against torchdistill and timm, and against their formulas in numpy, in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from timm.task import LogitDistillationTask
from torch import nn
from torchdistill.losses import mid_level

from tst_fast.config import reading
from tst_fast.config.schema import LossConfig
from tst_fast.losses import distillation

STUDENT, TEACHER = np.random.default_rng(0).normal(size=(2, 6, 5)) * 3
LABELS = np.array([0, 3, 1, 1, 2, 4])
TAU = 2.5


def _tensors():
    return torch.from_numpy(STUDENT), torch.from_numpy(TEACHER), torch.from_numpy(LABELS)


def _soft_labels():
    hard = np.eye(5)[LABELS]
    return 0.6 * hard + 0.3 * np.roll(hard, 2, axis=1) + 0.1 / 5


def _softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _torchdistill(name, **settings):
    loss = getattr(mid_level, name)("net", "output", "net", "output", **settings)
    student, teacher, labels = _tensors()
    return loss({"net": {"output": student}}, {"net": {"output": teacher}}, labels).item()


def _term(config):
    return distillation.make_term(distillation.LOSSES[config.name], config.standardise, vars(config))


def _loss(labels=None, **settings):
    """The term and the cross-entropy, weighed by the configuration: as run/test_student.py finds them in training."""
    student, teacher, own = _tensors()
    labels = own if labels is None else torch.from_numpy(labels)
    config = LossConfig(**settings)
    term = _term(config)(student, teacher, labels, None)
    return (config.cross_entropy_weight * F.cross_entropy(student, labels) + config.alpha * term).item()


def test_the_default_is_kd_with_alpha_1_and_tau_4():
    assert _loss() == pytest.approx(_torchdistill("KDLoss", temperature=4.0, alpha=1.0, beta=1.0))


def test_kd_is_torchdistills():
    expected = _torchdistill("KDLoss", temperature=TAU, alpha=0.3, beta=0.7)
    assert _loss(tau=TAU, alpha=0.7, cross_entropy_weight=0.3) == pytest.approx(expected)


def test_kd_is_timms():
    class Fixed(nn.Module):
        """A network that knows only these logits, with what timm asks of one."""

        num_classes, in_chans = 5, 3
        pretrained_cfg = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # noqa: RUF012

        def __init__(self, logits):
            super().__init__()
            self.logits = nn.Parameter(torch.from_numpy(logits))

        def forward(self, images):
            return self.logits

    weights = {"task_loss_weight": 1.0, "distill_loss_weight": 0.7}
    task = LogitDistillationTask(Fixed(STUDENT), Fixed(TEACHER), nn.CrossEntropyLoss(), temperature=TAU, **weights)
    expected = task(torch.zeros(6, 3, 1, 1, dtype=torch.float64), torch.from_numpy(LABELS))["loss"].item()
    assert _loss(tau=TAU, alpha=0.7) == pytest.approx(expected)


def test_dist_is_torchdistills():
    cross_entropy = _loss(alpha=0.0)
    expected = _torchdistill("DISTLoss", beta=1.5, gamma=0.5, tau=TAU)
    ours = _loss(name="dist", tau=TAU, inter_weight=1.5, intra_weight=0.5)
    assert ours - cross_entropy == pytest.approx(expected)


def test_standardised_kd_is_torchdistills():
    expected = _torchdistill("LogitStdKDLoss", temperature=TAU, alpha=0.5, beta=9)
    assert _loss(tau=TAU, alpha=9, cross_entropy_weight=0.5, standardise=True) == pytest.approx(expected)


def _divergence(p, q):
    return float(np.sum(p * np.log(p / q)))


def _decoupled(student, teacher, target, target_weight, non_target_weight):
    """One image's decoupled KD, by the paper's equations 3 and 4."""
    p, q = _softmax(teacher / TAU), _softmax(student / TAU)
    binary = _divergence(np.array([p[target], 1 - p[target]]), np.array([q[target], 1 - q[target]]))
    rest = [i for i in range(len(p)) if i != target]
    among = _divergence(p[rest] / p[rest].sum(), q[rest] / q[rest].sum())
    return TAU**2 * (target_weight * binary + non_target_weight * among)


def _standardised(logits):
    return (logits - logits.mean(axis=1, keepdims=True)) / logits.std(axis=1, keepdims=True, ddof=1)


@pytest.mark.parametrize("standardised", [False, True])
@pytest.mark.parametrize("labels", [LABELS, _soft_labels()], ids=["hard", "soft"])
def test_dkd_is_its_formula(labels, standardised):
    student, teacher = STUDENT, TEACHER
    if standardised:
        student, teacher = map(_standardised, (STUDENT, TEACHER))
    weights = labels if labels.ndim == 2 else np.eye(5)[labels]
    rows = [[_decoupled(s, t, c, 1.5, 6.0) for c in range(5)] for s, t in zip(student, teacher, strict=True)]
    expected = (weights * rows).sum(1).mean()
    settings = {"tau": TAU, "standardise": standardised, "target_weight": 1.5, "non_target_weight": 6.0}
    ours = _loss(labels, name="dkd", cross_entropy_weight=0.0, **settings)
    assert ours == pytest.approx(expected, rel=1e-6)


def test_kd_with_soft_labels_is_the_mixture():
    hard = [_loss((LABELS + shift) % 5) for shift in range(5)]
    mixed = 0.6 * hard[0] + 0.3 * hard[2] + 0.1 * sum(hard) / 5
    assert _loss(_soft_labels()) == pytest.approx(mixed)


@pytest.mark.parametrize("labels", [LABELS, _soft_labels()], ids=["hard", "soft"])
@pytest.mark.parametrize("standardised", [False, True])
@pytest.mark.parametrize("name", distillation.LOSSES)
def test_gradients(name, standardised, labels):
    student, teacher, _ = _tensors()
    term, labels = _term(LossConfig(name=name, tau=TAU, standardise=standardised)), torch.from_numpy(labels)
    assert torch.autograd.gradcheck(lambda logits: term(logits, teacher, labels, None), student.requires_grad_())


@pytest.mark.parametrize("labels", [[0, 1], [1, 0]], ids=["sure and right", "sure and wrong"])
@pytest.mark.parametrize("name", distillation.LOSSES)
def test_certain_networks_give_finite_losses_and_gradients(name, labels):
    """In float32, where 1 - p is 0."""
    teacher = torch.tensor([[300.0, 0.0, -5.0], [0.0, 90.0, 1.0]])
    student = torch.tensor([[200.0, 0.0, 3.0], [0.0, 80.0, 2.0]], requires_grad=True)
    loss = _term(LossConfig(name=name, tau=1.0))(student, teacher, torch.tensor(labels), None)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


def test_dkd_of_a_certain_teacher_keeps_what_it_knows_of_the_others():
    """In float32, p of the favourite is 1; the KL among the others is that of float64."""
    teacher = torch.tensor([[40.0, 1.0, 0.0, -1.0]])
    student = torch.tensor([[35.0, -1.0, 0.5, 0.0]])
    settings = {"tau": 1.0, "target_weight": 0.0, "non_target_weight": 1.0}
    found = distillation.dkd(student, teacher, torch.tensor([0]), **settings).item()
    others = [_softmax(logits.double().numpy()[0, 1:]) for logits in (teacher, student)]
    assert found == pytest.approx(_divergence(*others), rel=1e-5)


def test_a_new_term_needs_only_its_name(monkeypatch):
    def apart(student, teacher, labels, weights=None, *, tau, exponent=1.0):
        return ((student - teacher).abs() ** exponent).mean() / tau

    monkeypatch.setitem(distillation.LOSSES, "apart", apart)
    config = reading.from_flags(["--config=digits", "--loss.name=apart", "--loss.tau=2"])
    student, teacher = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 1.0]])
    assert _term(config.loss)(student, teacher, torch.tensor([0]), None).item() == pytest.approx(1.5 / 2)
