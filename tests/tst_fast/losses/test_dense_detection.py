"""What a dense detector imitates, against loops over the locations."""

import math

import pytest
import torch
from torchvision.ops import generalized_box_iou

from tst_fast.losses.dense_detection import box_distance, class_distance, quality_distance

STUDENT, TEACHER = torch.randn(2, 2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).unbind()


def _sigmoid(x):
    return 1 / (1 + math.exp(-x))


def _binary(x, p):
    return -(p * math.log(_sigmoid(x)) + (1 - p) * math.log(1 - _sigmoid(x)))


def _seen(teacher=TEACHER):
    return [_sigmoid(max(row)) for row in teacher.flatten(0, 1).tolist()]


def test_classes():
    total = 0.0
    for x, t in zip(STUDENT.flatten().tolist(), TEACHER.flatten().tolist(), strict=True):
        total += (_sigmoid(t) - _sigmoid(x)) ** 2 * _binary(x, _sigmoid(t))
    assert class_distance(STUDENT, TEACHER).item() == pytest.approx(total / sum(_seen()))
    blind = TEACHER - 20  # a teacher that sees nothing: the sum of its probabilities is no divisor
    assert 0 < class_distance(STUDENT, blind).item() < 30
    student = STUDENT.clone().requires_grad_()
    surprise = (TEACHER.sigmoid() - STUDENT.sigmoid()) ** 2
    class_distance(student, TEACHER).backward()
    expected = surprise * (STUDENT.sigmoid() - TEACHER.sigmoid()) / sum(_seen())
    torch.testing.assert_close(student.grad, expected)


def test_centreness_and_boxes_are_weighed_by_what_the_teacher_sees():
    seen = _seen()
    total = sum(
        w * _binary(x, _sigmoid(t))
        for w, x, t in zip(seen, STUDENT[..., 0].flatten().tolist(), TEACHER[..., 0].flatten().tolist(), strict=True)
    )
    found = quality_distance(STUDENT[..., :1], TEACHER[..., :1], TEACHER).item()
    assert found == pytest.approx(total / sum(seen))
    corners = torch.rand(2, 2, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    boxes = torch.cat([corners[..., :2], corners[..., :2] + corners[..., 2:] + 0.1], dim=-1)
    flat = boxes.flatten(1, 2)
    losses = 1 - generalized_box_iou(flat[0], flat[1]).diagonal()
    expected = (losses * torch.tensor(seen)).sum() / sum(seen)
    assert box_distance(*boxes, TEACHER).item() == pytest.approx(expected.item(), rel=1e-5)
