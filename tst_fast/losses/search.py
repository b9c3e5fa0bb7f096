"""The policy's objectives, and a network's confidence, over rows of logits: of images, pixels or objects."""

import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-6


Terms = tuple[Tensor, Tensor]


def confidence_terms(teacher: Tensor, student: Tensor, labels: Tensor, weights: Tensor | None = None) -> Terms:
    """-log p_T(y|x') and -log(1 - p_S(y|x') + 1e-6): low where the teacher is sure, and where the student is not.

    Args:
        teacher: logits, floating [N, C].
        student: logits, floating [N, C].
        labels: int64 [N], or a distribution over classes, floating [N, C]: then in expectation over it.
        weights: of the rows, floating [N]; None: the mean over them.

    Returns:
        The teacher's term and the student's, scalars; the policy minimises a weighted sum of both.
    """
    missed = (1 - _log_probabilities(student, labels).exp() + EPSILON).log()
    rows = [-_expected(logs, labels) for logs in (_log_probabilities(teacher, labels), missed)]
    return total(rows[0], weights), total(rows[1], weights)


def cross_entropy_terms(teacher: Tensor, student: Tensor, labels: Tensor, weights: Tensor | None = None) -> Terms:
    """CE_T and -CE_S: the method's older form. Arguments as `confidence_terms`."""
    rows = [F.cross_entropy(logits, labels, reduction="none") for logits in (teacher, student)]
    return total(rows[0], weights), -total(rows[1], weights)


SEARCH_OBJECTIVES = {"confidence": confidence_terms, "cross_entropy": cross_entropy_terms}


def confidence(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean probability of the true class, 0..1; arguments as in `confidence_terms`."""
    return total(_expected(_log_probabilities(logits, labels).exp(), labels), weights)


def _log_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    """Of the labels, [N, 1], or, where these are distributions, of every class, [N, C].

    Pixels are many and their classes few: for these, torch's log_softmax takes thrice as long on a CPU.
    """
    logits = logits - logits.detach().amax(dim=1, keepdim=True)
    scale = logits.exp().sum(dim=1, keepdim=True).log()
    chosen = logits if labels.is_floating_point() else logits.gather(1, labels.unsqueeze(1))
    return chosen - scale


def _expected(values: Tensor, labels: Tensor) -> Tensor:
    """Values of the labels [N, 1], or the mean of those of every class [N, C] over distributions: [N]."""
    return (labels * values).sum(dim=1) if labels.is_floating_point() else values.squeeze(1)


def label_distribution(labels: Tensor, logits: Tensor) -> Tensor:
    """Labels as a distribution over classes, [N, C] in the type of `logits` [N, C]: one-hot if they are int64 [N]."""
    return labels if labels.is_floating_point() else F.one_hot(labels, logits.shape[1]).to(logits.dtype)


def total(rows: Tensor, weights: Tensor | None) -> Tensor:
    """The weighted sum of values [N], or without weights their mean."""
    return rows.mean() if weights is None else (weights * rows).sum()
