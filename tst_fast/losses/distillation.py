"""Distillation terms: what the student minimises besides the task's own loss.

A term is a function (student, teacher, labels, weights, *, ...) to a scalar; `LOSSES` gives it its name in
`--loss.name`, and its keyword parameters are values of `LossConfig`. All take rows of logits, floating [N, C] (a row is
an image, a pixel or an object), labels, int64 [N] or a distribution over classes, floating [N, C], as mixup makes it,
and weights of the rows, floating [N], or None for the mean over them.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tst_fast.losses.search import label_distribution, total


def kd(student: Tensor, teacher: Tensor, labels: Tensor, weights: Tensor | None = None, *, tau: float) -> Tensor:
    """tau^2 KL(p_teacher^tau || p_student^tau) (Hinton et al., 2015)."""
    log_q, log_p = (F.log_softmax(logits / tau, dim=1) for logits in (student, teacher))
    if weights is None:
        return tau**2 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    return tau**2 * total(F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=1), weights)


def dkd(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    tau: float,
    target_weight: float,
    non_target_weight: float,
) -> Tensor:
    """Decoupled KD (Zhao et al., 2022, section 3.2): KL of target against the rest, and KL among the rest, apart.

    With soft labels, in expectation over the target. The paper's warm-up over the first epochs is left out.

    Args:
        student: logits, floating [N, C].
        teacher: logits, floating [N, C].
        labels: int64 [N], or floating [N, C].
        weights: of the rows, floating [N]; None: the mean over them.
        tau: temperature.
        target_weight: the paper's alpha.
        non_target_weight: the paper's beta.
    """
    log_p, log_q = F.log_softmax(teacher / tau, dim=1), F.log_softmax(student / tau, dim=1)
    p, rest_p, rest_q = log_p.exp(), _log_complement(log_p), _log_complement(log_q)
    target = p * (log_p - log_q) + rest_p.exp() * (rest_p - rest_q)  # [N, C], were that class the target
    whole = (p * (log_p - log_q)).sum(dim=1, keepdim=True)
    # KL = target + (1 - p) non-target (the paper's equation 5) gives the second term, but for the teacher's favourite:
    # there 1 - p may vanish.
    top = _favourite(log_p)
    among_others = [F.log_softmax(logits.masked_fill(top, -torch.inf), dim=1) for logits in (log_p, log_q)]
    gap = (among_others[0] - among_others[1]).masked_fill(top, 0)
    at_top = (among_others[0].exp() * gap).sum(dim=1, keepdim=True)
    non_target = torch.where(top, at_top, (whole - target) / (1 - p).clamp(min=0.5))
    per_class = target_weight * target + non_target_weight * non_target
    return tau**2 * total((label_distribution(labels, student) * per_class).sum(dim=1), weights)


def _favourite(logits: Tensor) -> Tensor:
    """Boolean [N, C]: the class with the highest logit."""
    return F.one_hot(logits.argmax(dim=1), logits.shape[1]).bool()


def _log_complement(log_p: Tensor) -> Tensor:
    """log(1 - p) of log-probabilities [N, C], exact for p near 1 too: there it is the sum of the others."""
    top = _favourite(log_p)
    others = log_p.masked_fill(top, -torch.inf).logsumexp(dim=1, keepdim=True)
    return torch.where(top, others, torch.log1p(-log_p.exp().masked_fill(top, 0)))


def dist(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    tau: float,
    inter_weight: float,
    intra_weight: float,
) -> Tensor:
    """DIST (Huang et al., 2022, section 4): tau^2 (1 - Pearson correlation), within rows and within classes.

    A correlation does not depend on scale, so its gradient grows as the student's logits shrink, as in the paper's
    code: where a last layer begins at 0, it is 1e5 times the usual and more in the first step. Give such a layer
    random weights, or cut the gradient's norm.

    Args:
        student: logits, floating [N, C].
        teacher: logits, floating [N, C].
        labels: not used.
        weights: of the rows, floating [N]; None: the mean over them.
        tau: temperature.
        inter_weight: the paper's beta, for the correlation over classes, averaged over the rows.
        intra_weight: the paper's gamma, for the correlation over the rows of this process, averaged over classes.
    """
    q, p = F.softmax(student / tau, dim=1), F.softmax(teacher / tau, dim=1)
    inter, intra = total(1 - _correlation(q, p), weights), 1 - _correlation(q.T, p.T, weights).mean()
    if weights is not None:
        intra = weights.sum() * intra  # as the other term; nothing where no row counts
    return tau**2 * (inter_weight * inter + intra_weight * intra)


def _correlation(one: Tensor, other: Tensor, weights: Tensor | None = None) -> Tensor:
    """Pearson correlation of each row [R, K] with its counterpart, the columns weighted by [K]: [R]."""
    if weights is None:
        centred = [values - values.mean(dim=1, keepdim=True) for values in (one, other)]
    else:
        share = weights / weights.sum().clamp(min=1e-12)
        centred = [share.sqrt() * (values - (share * values).sum(dim=1, keepdim=True)) for values in (one, other)]
    return F.cosine_similarity(*centred, dim=1)


LOSSES: dict[str, Callable[..., Tensor]] = {"kd": kd, "dkd": dkd, "dist": dist}


def standardise(logits: Tensor) -> Tensor:
    """Logits [N, C] with mean 0 and sample standard deviation 1 in each row (Sun et al., 2024, as in their code).

    Where logits are all but equal, the gradient is as large as that of `dist`, for the same reason. C is 2 or more.
    """
    return (logits - logits.mean(dim=1, keepdim=True)) / (logits.std(dim=1, keepdim=True) + 1e-7)


Term = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""Of student logits, teacher logits, labels and weights of the rows or None: a scalar."""


def keyword_settings(term: Callable[..., Tensor], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that a term takes by keyword alone."""
    taken = [p.name for p in inspect.signature(term).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return {name: settings[name] for name in taken if name in settings}


def make_term(term: Callable[..., Tensor], standardised: bool, settings: Mapping[str, Any]) -> Term:
    """A distillation term with its settings filled in.

    Args:
        term: one of `LOSSES`, or called in the same way.
        standardised: give it logits of mean 0 and standard deviation 1.
        settings: values by name, of which the term's keyword parameters are taken.
    """
    return partial(_of_rows, partial(term, **keyword_settings(term, settings)), standardised)


def _of_rows(
    term: Term, standardised: bool, student: Tensor, teacher: Tensor, labels: Tensor, weights: Tensor | None
) -> Tensor:
    compared = (standardise(student), standardise(teacher)) if standardised else (student, teacher)
    return term(*compared, labels, weights)
