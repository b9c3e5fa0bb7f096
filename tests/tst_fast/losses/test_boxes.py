"""Overlaps against torchvision, and an object's score by its formula."""

import torch
from torchvision.ops import box_iou

from tst_fast.losses.boxes import object_score, overlap


def _boxes(count, seed):
    corners = 10 * torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.cat([corners.amin(1), corners.amax(1)], dim=1)


def test_overlap_is_torchvisions():
    one, other = _boxes(20, 0), _boxes(30, 1)
    torch.testing.assert_close(overlap(one[:, None], other), box_iou(one, other), rtol=1e-6, atol=1e-9)
    assert torch.autograd.gradcheck(overlap, (one[:20].requires_grad_(), other[:20].requires_grad_()))


def test_a_score_weighs_class_and_place():
    probability, shared = torch.tensor([0.25, 1.0, 0.0]), torch.tensor([1.0, 0.5, 0.9])
    assert object_score(probability, shared, 0.0).tolist()[:2] == probability.tolist()[:2]
    torch.testing.assert_close(object_score(probability, shared, 1.0)[:2], shared[:2])
    torch.testing.assert_close(object_score(probability, shared, 0.5)[:2], torch.tensor([0.5, 0.5**0.5]))
    lost = torch.zeros(1, requires_grad=True)
    object_score(lost, lost, 0.5).backward()
    assert lost.grad.isfinite().all()
