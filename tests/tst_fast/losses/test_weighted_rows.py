"""Distillation terms over rows with weights, a row or a class at a time in numpy, in float64."""

import numpy as np
import pytest
import torch

from tst_fast.losses.distillation import LOSSES

STUDENT, TEACHER = np.random.default_rng(0).normal(size=(2, 6, 5)) * 3
LABELS = np.array([0, 3, 1, 1, 2, 4])
WEIGHTS = np.array([0.3, 0.0, 0.1, 0.2, 0.0, 0.25])  # some rows are ignored, and 0.15 is left out
TAU = 2.5
SETTINGS = {
    "kd": {},
    "dkd": {"target_weight": 1.5, "non_target_weight": 6.0},
    "dist": {"inter_weight": 1.5, "intra_weight": 0.5},
}


def _term(name, weights, rows=slice(None)):
    student, teacher, labels = (torch.from_numpy(values[rows]) for values in (STUDENT, TEACHER, LABELS))
    weights = None if weights is None else torch.as_tensor(weights[rows])
    return LOSSES[name](student.requires_grad_(), teacher, labels, weights, tau=TAU, **SETTINGS[name])


def _softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", ["kd", "dkd"])
def test_each_row_counts_its_weight(name):
    """A row's own loss is that of a batch of it alone, which other tests compare with published code."""
    rows = [_term(name, None, slice(i, i + 1)).item() for i in range(6)]
    assert _term(name, WEIGHTS).item() == pytest.approx(WEIGHTS @ rows, rel=1e-9)


def test_correlations_within_classes_are_weighted_too():
    q, p = _softmax(STUDENT / TAU), _softmax(TEACHER / TAU)
    inter = sum(w * (1 - np.corrcoef(*pair)[0, 1]) for w, *pair in zip(WEIGHTS, q, p, strict=True))
    covariances = [np.cov(q[:, c], p[:, c], aweights=WEIGHTS, ddof=0) for c in range(5)]
    intra = WEIGHTS.sum() * (1 - np.mean([c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]) for c in covariances]))
    assert _term("dist", WEIGHTS).item() == pytest.approx(TAU**2 * (1.5 * inter + 0.5 * intra), rel=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_equal_weights_are_the_mean(name):
    assert _term(name, np.full(6, 1 / 6)).item() == pytest.approx(_term(name, None).item(), rel=1e-12)


@pytest.mark.parametrize("rows", [slice(0, 0), slice(1, 2), slice(4, 5)], ids=["none", "ignored", "ignored too"])
@pytest.mark.parametrize("name", LOSSES)
def test_rows_that_count_nothing_give_nothing(name, rows):
    loss = _term(name, WEIGHTS, rows)
    loss.backward()
    assert loss.item() == 0
