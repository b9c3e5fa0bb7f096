"""Distillation of maps against its formulas, a cell or a class at a time in numpy, with cells that do not count."""

import numpy as np
import pytest
import torch

from tst_fast.losses import dense

STUDENT, TEACHER = np.random.default_rng(0).normal(size=(2, 3, 5, 3, 4)) * 3  # 3 images, 5 classes, 3x4 cells
WEIGHTS = np.random.default_rng(1).random((3, 3, 4))
WEIGHTS[0, 0], WEIGHTS[1] = 0, 0  # a row of cells, and an image
WEIGHTS /= 3 * np.maximum(WEIGHTS.sum((1, 2), keepdims=True), 1e-9)
TAU = 2.5

TERMS = {
    "cwd": lambda *maps: dense.cwd(*maps, tau=TAU),
    "dist": lambda *maps: dense.dist(*maps, tau=TAU, inter_weight=1.5, intra_weight=0.5),
}


def _softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def _divergence(teacher, student):
    p, q = _softmax(teacher / TAU), _softmax(student / TAU)
    return TAU**2 * float(np.sum(p * np.log(p / q)))


def _cwd():
    total = 0
    for student, teacher, weights in zip(STUDENT, TEACHER, WEIGHTS, strict=True):
        counted = weights > 0
        if counted.any():
            classes = [_divergence(t[counted], s[counted]) for s, t in zip(student, teacher, strict=True)]
            total += weights.sum() * np.mean(classes)
    return total


def _dist():
    total = 0
    for student, teacher, weights in zip(STUDENT, TEACHER, WEIGHTS, strict=True):
        weights = weights.ravel()
        q, p = (np.stack([_softmax(cell / TAU) for cell in logits.reshape(5, 12).T]) for logits in (student, teacher))
        for w, one, other in zip(weights, q, p, strict=True):
            total += 1.5 * w * (1 - np.corrcoef(one, other)[0, 1])
        if weights.any():
            covariances = [np.cov(q[:, c], p[:, c], aweights=weights, ddof=0) for c in range(5)]
            correlations = [c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]) for c in covariances]
            total += 0.5 * weights.sum() * (1 - np.mean(correlations))
    return TAU**2 * total


def _tensors():
    return [torch.from_numpy(values) for values in (STUDENT, TEACHER, WEIGHTS)]


@pytest.mark.parametrize(("name", "formula"), [("cwd", _cwd), ("dist", _dist)])
def test_terms_are_their_formulas(name, formula):
    assert TERMS[name](*_tensors()).item() == pytest.approx(formula(), rel=1e-9)


@pytest.mark.parametrize("name", TERMS)
def test_gradients(name):
    student, teacher, weights = _tensors()
    assert torch.autograd.gradcheck(lambda maps: TERMS[name](maps, teacher, weights), student.requires_grad_())


@pytest.mark.parametrize("name", TERMS)
def test_a_batch_is_the_sum_of_its_images(name):
    """So parts and ranks add up, whatever counts in each."""
    whole = TERMS[name](*_tensors())
    images = [TERMS[name](*(values[image : image + 1] for values in _tensors())) for image in range(3)]
    assert whole.item() == pytest.approx(sum(images).item(), rel=1e-12)


@pytest.mark.parametrize("name", TERMS)
def test_cells_that_do_not_count_have_no_say(name):
    student, teacher, weights = _tensors()
    other = torch.where(weights.unsqueeze(1) > 0, student, 40.0).requires_grad_()
    loss = TERMS[name](other, teacher, weights)
    assert loss.item() == pytest.approx(TERMS[name](student, teacher, weights).item(), rel=1e-12)
    loss.backward()
    assert other.grad[weights.unsqueeze(1).expand_as(other) == 0].eq(0).all()


@pytest.mark.parametrize("name", TERMS)
def test_certain_networks_give_finite_losses_and_gradients(name):
    """In float32: one class everywhere, so that nothing varies, and nothing that counts."""
    certain = torch.zeros(2, 3, 4, 4)
    certain[:, 1] = 300
    weights = torch.stack([torch.full((4, 4), 1 / 32), torch.zeros(4, 4)])
    student = (-certain).requires_grad_()
    loss = TERMS[name](student, certain, weights)
    loss.backward()
    assert loss.isfinite() and student.grad.isfinite().all()


def test_rows_are_cells_in_the_order_of_their_weights():
    student, _, weights = _tensors()
    found, flat = dense.rows(student), weights.flatten()
    for row, (image, y, x) in enumerate(np.ndindex(WEIGHTS.shape)):
        assert flat[row] == weights[image, y, x] and torch.equal(found[row], student[image, :, y, x])
