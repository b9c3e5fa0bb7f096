"""What the policy minimises, and how sure a network is, over rows of answers: images, pixels or objects."""

import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-6


def confidence_gap(teacher: Tensor, student: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """-log p_T(y|x') - log(1 - p_S(y|x') + 1e-6): low where the teacher is sure and the student is not.

    Args:
        teacher: logits, floating [N, C].
        student: logits, floating [N, C].
        labels: int64 [N], or a distribution over classes, floating [N, C]: then in expectation over it.
        weights: of the rows, floating [N]; None: the mean over them.

    Returns:
        A scalar.
    """
    missed = (1 - student.softmax(dim=1) + EPSILON).log()
    shares = label_distribution(labels, teacher)
    return total(-(shares * (teacher.log_softmax(dim=1) + missed)).sum(dim=1), weights)


def cross_entropy_gap(teacher: Tensor, student: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """CE_T - CE_S: the method's older form. Arguments as `confidence_gap`."""
    losses = [F.cross_entropy(logits, labels, reduction="none") for logits in (teacher, student)]
    return total(losses[0], weights) - total(losses[1], weights)


SEARCH_OBJECTIVES = {"confidence": confidence_gap, "cross_entropy": cross_entropy_gap}


def confidence(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean probability of the true class, 0..1; arguments as in `confidence_gap`."""
    return total((label_distribution(labels, logits) * logits.softmax(dim=1)).sum(dim=1), weights)


def label_distribution(labels: Tensor, logits: Tensor) -> Tensor:
    """Labels as a distribution over classes, [N, C] in the type of `logits` [N, C]: one-hot if they are int64 [N]."""
    return labels if labels.is_floating_point() else F.one_hot(labels, logits.shape[1]).to(logits.dtype)


def total(rows: Tensor, weights: Tensor | None) -> Tensor:
    """The weighted sum of values [N], or without weights their mean."""
    return rows.mean() if weights is None else (weights * rows).sum()
