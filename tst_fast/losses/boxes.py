"""Areas and overlaps (IoU) of boxes, and the score of a detected object, in 0..1."""

import torch
from torch import Tensor

SMALLEST = 1e-6
"""Lower bound of probabilities and overlaps: a power below 1 has no derivative at 0."""


def area(boxes: Tensor) -> Tensor:
    """Area of boxes [..., 4] (left, top, right, bottom): [...]; 0 for degenerate ones."""
    left, top, right, bottom = boxes.unbind(dim=-1)
    return (right - left).clamp(min=0) * (bottom - top).clamp(min=0)


def intersection(one: Tensor, other: Tensor) -> Tensor:
    """Area of the intersection of boxes [..., 4], broadcast."""
    left, top, right, bottom = zip(one.unbind(dim=-1), other.unbind(dim=-1), strict=True)  # a CPU is slow in twos
    width = torch.minimum(*right) - torch.maximum(*left)
    height = torch.minimum(*bottom) - torch.maximum(*top)
    return width.clamp(min=0) * height.clamp(min=0)


def overlap(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of boxes [..., 4], broadcast; differentiable, 0..1."""
    shared = intersection(one, other)
    return shared / (area(one) + area(other) - shared).clamp(min=SMALLEST)


def object_score(probability: Tensor, shared: Tensor, quality_weight: float) -> Tensor:
    """p^(1 - beta) q^beta: how well an object is classified and located.

    Unlike the losses of detectors it is bounded, so that a search gains nothing from pushing a box ever further away.

    Args:
        probability: of the object's class, 0..1.
        shared: the predicted box's overlap with the object's.
        quality_weight: beta, 0..1.
    """
    return probability.clamp(min=SMALLEST) ** (1 - quality_weight) * shared.clamp(min=SMALLEST) ** quality_weight
