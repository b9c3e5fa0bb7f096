"""What the policy minimises against its formulas, written out in numpy."""

import numpy as np
import pytest
import torch

from tst_fast.losses import search

STUDENT, TEACHER = np.random.default_rng(0).normal(size=(2, 5, 4)) * 3
LABELS = np.array([0, 3, 1, 1, 2])


def _softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _tensors():
    return torch.from_numpy(STUDENT), torch.from_numpy(TEACHER), torch.from_numpy(LABELS)


@pytest.fixture
def soft():
    hard = torch.nn.functional.one_hot(torch.from_numpy(LABELS), 4).double()
    return 0.8 * hard + 0.2 * hard.roll(1, dims=1)


def test_confidence_gap_and_its_soft_label_form(soft):
    student, teacher, labels = _tensors()
    p_teacher, p_student = _softmax(TEACHER)[range(5), LABELS], _softmax(STUDENT)[range(5), LABELS]
    expected = (-np.log(p_teacher) - np.log(1 - p_student + 1e-6)).mean()
    assert search.confidence_gap(teacher, student, labels).item() == pytest.approx(expected)
    mixture = 0.8 * search.confidence_gap(teacher, student, labels)
    mixture += 0.2 * search.confidence_gap(teacher, student, (labels + 1) % 4)
    assert search.confidence_gap(teacher, student, soft).item() == pytest.approx(mixture.item())


def test_confidence_gap_is_finite_where_the_student_is_certain():
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    search.confidence_gap(torch.zeros(1, 2), logits, torch.tensor([0])).backward()
    assert logits.grad.isfinite().all()


def test_cross_entropy_gap_and_confidence(soft):
    student, teacher, labels = _tensors()
    p_teacher, p_student = _softmax(TEACHER)[range(5), LABELS], _softmax(STUDENT)[range(5), LABELS]
    gap = search.cross_entropy_gap(teacher, student, labels).item()
    assert gap == pytest.approx((-np.log(p_teacher) + np.log(p_student)).mean())
    assert search.confidence(teacher, labels).item() == pytest.approx(p_teacher.mean())
    mixed = 0.8 * p_teacher.mean() + 0.2 * _softmax(TEACHER)[range(5), (LABELS + 1) % 4].mean()
    assert search.confidence(teacher, soft).item() == pytest.approx(mixed)
