"""Distillation losses of dense detectors: classes, centreness and boxes, location by location.

The teacher's highest class probability weighs a location, for nearly all of them are background. Sums are divided by
the sum of these weights, but at least 1: the number of objects that the teacher sees.
"""

import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss


def class_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Binary cross-entropy with the teacher's probabilities, times |p_T - p_S|^2 (Li et al., 2020, equation 7).

    The factor is held constant: the gradient is weaker than the paper's, by up to three times halfway.

    Args:
        student: logits, floating [B, A, C].
        teacher: logits, floating [B, A, C].
    """
    wanted = teacher.sigmoid()
    surprise = (wanted - student.detach().sigmoid()) ** 2
    losses = F.binary_cross_entropy_with_logits(student, wanted, reduction="none")
    return (surprise * losses).sum() / _seen(teacher).sum().clamp(min=1)


def quality_distance(student: Tensor, teacher: Tensor, classes: Tensor) -> Tensor:
    """Binary cross-entropy with the teacher's centreness.

    Args:
        student: logits of the centreness, floating [B, A, 1].
        teacher: logits of the centreness, floating [B, A, 1].
        classes: the teacher's logits of the classes, floating [B, A, C].
    """
    weights = _seen(classes)
    losses = F.binary_cross_entropy_with_logits(student, teacher.sigmoid(), reduction="none").squeeze(-1)
    return (weights * losses).sum() / weights.sum().clamp(min=1)


def box_distance(student: Tensor, teacher: Tensor, classes: Tensor) -> Tensor:
    """1 - GIoU (Rezatofighi et al., 2019), in 0..2.

    Args:
        student: boxes, floating [B, A, 4].
        teacher: boxes, floating [B, A, 4].
        classes: the teacher's logits of the classes, floating [B, A, C].
    """
    weights = _seen(classes)
    losses = generalized_box_iou_loss(student, teacher, reduction="none")
    return (weights * losses).sum() / weights.sum().clamp(min=1)


def _seen(classes: Tensor) -> Tensor:
    """The highest class probability at each location: [B, A]."""
    return classes.sigmoid().amax(dim=-1)
