"""Distillation of maps against its formulas, a cell or a class at a time in numpy, with cells that do not count."""

import numpy as np
import pytest
import torch

from tst_fast.losses.dense import cwd, rows

STUDENT, TEACHER = np.random.default_rng(0).normal(size=(2, 3, 5, 3, 4)) * 3  # 3 images, 5 classes, 3x4 cells
WEIGHTS = np.random.default_rng(1).random((3, 3, 4))
WEIGHTS[0, 0], WEIGHTS[1] = 0, 0  # a row of cells, and an image
WEIGHTS /= 3 * np.maximum(WEIGHTS.sum((1, 2), keepdims=True), 1e-9)
TAU = 2.5


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


def _tensors():
    return [torch.from_numpy(values) for values in (STUDENT, TEACHER, WEIGHTS)]


def test_cwd_is_its_formula():
    assert cwd(*_tensors(), tau=TAU).item() == pytest.approx(_cwd(), rel=1e-9)


def test_gradients():
    student, teacher, weights = _tensors()
    assert torch.autograd.gradcheck(lambda maps: cwd(maps, teacher, weights, tau=TAU), student.requires_grad_())


def test_a_batch_is_the_sum_of_its_images():
    """So parts and ranks add up, whatever counts in each."""
    whole = cwd(*_tensors(), tau=TAU)
    images = [cwd(*(values[image : image + 1] for values in _tensors()), tau=TAU) for image in range(3)]
    assert whole.item() == pytest.approx(sum(images).item(), rel=1e-12)


def test_cells_that_do_not_count_have_no_say():
    student, teacher, weights = _tensors()
    other = torch.where(weights.unsqueeze(1) > 0, student, 40.0).requires_grad_()
    loss = cwd(other, teacher, weights, tau=TAU)
    assert loss.item() == pytest.approx(cwd(student, teacher, weights, tau=TAU).item(), rel=1e-12)
    loss.backward()
    assert other.grad[weights.unsqueeze(1).expand_as(other) == 0].eq(0).all()


def test_certain_networks_give_finite_losses_and_gradients():
    """In float32: one class everywhere, so that nothing varies, and nothing that counts."""
    certain = torch.zeros(2, 3, 4, 4)
    certain[:, 1] = 300
    weights = torch.stack([torch.full((4, 4), 1 / 32), torch.zeros(4, 4)])
    student = (-certain).requires_grad_()
    loss = cwd(student, certain, weights, tau=TAU)
    loss.backward()
    assert loss.isfinite() and student.grad.isfinite().all()


def test_rows_are_cells_in_the_order_of_their_weights():
    student, _, weights = _tensors()
    found, flat = rows(student), weights.flatten()
    for row, (image, y, x) in enumerate(np.ndindex(WEIGHTS.shape)):
        assert flat[row] == weights[image, y, x] and torch.equal(found[row], student[image, :, y, x])
