"""The objects of a batch moved by a draw, and their weights and logits in the search."""

import torch
from torch import Tensor

from tst_fast.config.policy import PolicyConfig
from tst_fast.losses.boxes import area, intersection
from tst_fast.policy.augmenter import Geometry
from tst_kernels import warp_boxes
from tst_pipelines import Targets

SMALLEST_SIDE = 2.0
"""Pixels: what is smaller after a warp is no longer an object."""


def moved_objects(targets: Targets, geometry: Geometry, policy: PolicyConfig) -> Targets:
    """Targets of augmented images; what can no longer be seen is dropped.

    Args:
        targets: of the plain images.
        geometry: what a draw did. Gradients reach it through the boxes; which of them are kept has none.
        policy: the box rule, and how much of a box must be visible.

    Returns:
        The same with boxes moved, and label -1 and no box where less than the share `policy.visible` of a box is in the
        picture, more than the rest of it is under what Cutout erased, or a side is below 2 pixels.
    """
    boxes = targets.boxes
    assert boxes is not None  # as those of detection have
    moved, share = warp_boxes(boxes, geometry.theta, targets.sizes, *geometry.size, policy.box_rule)
    with torch.no_grad():
        uncovered = 1 - intersection(boxes, geometry.erased[:, None]) / area(boxes).clamp(min=1e-6)
        sides = (moved[..., 2:] - moved[..., :2]).amin(dim=-1)
        kept = (share >= policy.visible) & (uncovered >= policy.visible) & (sides >= SMALLEST_SIDE)
        kept &= targets.labels >= 0
    labels = torch.where(kept, targets.labels, -1)
    return Targets(labels, torch.where(kept[..., None], moved, 0), targets.sizes)


def object_weights(labels: Tensor) -> Tensor:
    """Each object of a batch counts the same: floating [B, M], the sum 1, or 0 where there is no object."""
    present = labels >= 0
    return present / present.sum().clamp(min=1)


def score_logits(scores: Tensor) -> Tensor:
    """Scores [B, M] in 0..1 as rows of logits [B M, 2], lost against found: their softmax is the score."""
    flat = scores.flatten()
    smallest = torch.finfo(flat.dtype).eps
    found = flat.clamp(smallest, 1 - smallest).logit()
    return torch.stack([torch.zeros_like(found), found], dim=1)
