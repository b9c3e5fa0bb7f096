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


def test_confidence_terms_and_their_soft_label_form(soft):
    student, teacher, labels = _tensors()
    p_teacher, p_student = _softmax(TEACHER)[range(5), LABELS], _softmax(STUDENT)[range(5), LABELS]
    missed = -np.log(1 - p_student + 1e-6).mean()
    terms = search.confidence_terms(teacher, student, labels)
    assert [term.item() for term in terms] == pytest.approx([-np.log(p_teacher).mean(), missed])
    others = search.confidence_terms(teacher, student, (labels + 1) % 4)
    mixture = [0.8 * one.item() + 0.2 * other.item() for one, other in zip(terms, others, strict=True)]
    assert [term.item() for term in search.confidence_terms(teacher, student, soft)] == pytest.approx(mixture)


def test_confidence_terms_are_finite_where_the_student_is_certain():
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    sum(search.confidence_terms(torch.zeros(1, 2), logits, torch.tensor([0]))).backward()
    assert logits.grad.isfinite().all()


def test_cross_entropy_terms_and_confidence(soft):
    student, teacher, labels = _tensors()
    p_teacher, p_student = _softmax(TEACHER)[range(5), LABELS], _softmax(STUDENT)[range(5), LABELS]
    terms = search.cross_entropy_terms(teacher, student, labels)
    assert [term.item() for term in terms] == pytest.approx([-np.log(p_teacher).mean(), np.log(p_student).mean()])
    assert search.confidence(teacher, labels).item() == pytest.approx(p_teacher.mean())
    mixed = 0.8 * p_teacher.mean() + 0.2 * _softmax(TEACHER)[range(5), (LABELS + 1) % 4].mean()
    assert search.confidence(teacher, soft).item() == pytest.approx(mixed)


@pytest.mark.parametrize("name", ["confidence", "cross_entropy"])
def test_rows_count_by_their_weights(name):
    student, teacher, labels = _tensors()
    terms, weights = search.SEARCH_OBJECTIVES[name], torch.tensor([0.5, 0.0, 0.25, 0.25, 0.0], dtype=torch.float64)
    rows = [terms(*(values[i : i + 1] for values in (teacher, student, labels))) for i in range(5)]
    expected = [sum(w * row[side] for w, row in zip(weights, rows, strict=True)).item() for side in (0, 1)]
    assert [term.item() for term in terms(teacher, student, labels, weights)] == pytest.approx(expected)
    certain = search.confidence(teacher, labels, weights).item()
    assert certain == pytest.approx((weights.numpy() * _softmax(TEACHER)[range(5), LABELS]).sum())
