"""What the policy minimises, and how sure a network is."""

import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-6


def confidence_gap(teacher: Tensor, student: Tensor, labels: Tensor) -> Tensor:
    """-log p_T(y|x') - log(1 - p_S(y|x') + 1e-6), batch mean: low where the teacher is sure and the student is not.

    Args:
        teacher: logits, floating [B, C].
        student: logits, floating [B, C].
        labels: int64 [B], or a distribution over classes, floating [B, C]: then in expectation over it.

    Returns:
        A scalar.
    """
    missed = (1 - student.softmax(dim=1) + EPSILON).log()
    weights = label_distribution(labels, teacher)
    return -(weights * (teacher.log_softmax(dim=1) + missed)).sum(dim=1).mean()


def cross_entropy_gap(teacher: Tensor, student: Tensor, labels: Tensor) -> Tensor:
    """CE_T - CE_S, batch mean: the method's older form. Arguments as `confidence_gap`."""
    return F.cross_entropy(teacher, labels) - F.cross_entropy(student, labels)


SEARCH_OBJECTIVES = {"confidence": confidence_gap, "cross_entropy": cross_entropy_gap}


def confidence(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean probability of the true class: logits [B, C], labels as in `confidence_gap`, to a scalar in 0..1."""
    return (label_distribution(labels, logits) * logits.softmax(dim=1)).sum(dim=1).mean()


def label_distribution(labels: Tensor, logits: Tensor) -> Tensor:
    """Labels as a distribution over classes, [B, C] in the type of `logits` [B, C]: one-hot if they are int64 [B]."""
    return labels if labels.is_floating_point() else F.one_hot(labels, logits.shape[1]).to(logits.dtype)
