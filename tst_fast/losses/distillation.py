"""What the student minimises: cross-entropy, and a distillation term of choice.

A term is a function (student, teacher, labels, *, ...) to a scalar; `LOSSES` gives it its name in `--loss.name`, and
its keyword parameters are values of `LossConfig`. All take logits, floating [B, C], and labels, int64 [B] or a
distribution over classes, floating [B, C], as mixup makes it. A task with logits of another shape flattens them to
[B, C] first.
"""

import inspect
from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from tst_fast.losses.search import label_distribution


def kd(student: Tensor, teacher: Tensor, labels: Tensor, *, tau: float) -> Tensor:
    """tau^2 KL(p_teacher^tau || p_student^tau), batch mean (Hinton et al., 2015)."""
    divergence = F.kl_div(
        F.log_softmax(student / tau, dim=1), F.log_softmax(teacher / tau, dim=1), reduction="batchmean", log_target=True
    )
    return tau**2 * divergence


def dkd(
    student: Tensor, teacher: Tensor, labels: Tensor, *, tau: float, target_weight: float, non_target_weight: float
) -> Tensor:
    """Decoupled KD (Zhao et al., 2022, section 3.2): KL of target against the rest, and KL among the rest, apart.

    With soft labels, in expectation over the target. The paper's warm-up over the first epochs is left out.

    Args:
        student: logits, floating [B, C].
        teacher: logits, floating [B, C].
        labels: int64 [B], or floating [B, C].
        tau: temperature.
        target_weight: the paper's alpha.
        non_target_weight: the paper's beta.
    """
    log_p, log_q = F.log_softmax(teacher / tau, dim=1), F.log_softmax(student / tau, dim=1)
    p, rest_p, rest_q = log_p.exp(), _log_complement(log_p), _log_complement(log_q)
    target = p * (log_p - log_q) + rest_p.exp() * (rest_p - rest_q)  # [B, C], were that class the target
    whole = (p * (log_p - log_q)).sum(dim=1, keepdim=True)
    # KL = target + (1 - p) non-target (the paper's equation 5) gives the second term, but for the teacher's favourite:
    # there 1 - p may vanish.
    top = _favourite(log_p)
    among_others = [F.log_softmax(logits.masked_fill(top, -torch.inf), dim=1) for logits in (log_p, log_q)]
    gap = (among_others[0] - among_others[1]).masked_fill(top, 0)
    at_top = (among_others[0].exp() * gap).sum(dim=1, keepdim=True)
    non_target = torch.where(top, at_top, (whole - target) / (1 - p).clamp(min=0.5))
    per_class = target_weight * target + non_target_weight * non_target
    return tau**2 * (label_distribution(labels, student) * per_class).sum(dim=1).mean()


def _favourite(logits: Tensor) -> Tensor:
    """Boolean [B, C]: the class with the highest logit."""
    return F.one_hot(logits.argmax(dim=1), logits.shape[1]).bool()


def _log_complement(log_p: Tensor) -> Tensor:
    """log(1 - p) of log-probabilities [B, C], exact for p near 1 too: there it is the sum of the others."""
    top = _favourite(log_p)
    others = log_p.masked_fill(top, -torch.inf).logsumexp(dim=1, keepdim=True)
    return torch.where(top, others, torch.log1p(-log_p.exp().masked_fill(top, 0)))


def dist(
    student: Tensor, teacher: Tensor, labels: Tensor, *, tau: float, inter_weight: float, intra_weight: float
) -> Tensor:
    """DIST (Huang et al., 2022, section 4): tau^2 (1 - Pearson correlation), within images and within classes.

    Args:
        student: logits, floating [B, C].
        teacher: logits, floating [B, C].
        labels: not used.
        tau: temperature.
        inter_weight: the paper's beta, for the correlation over classes, averaged over the images.
        intra_weight: the paper's gamma, for the correlation over the images of this process, averaged over classes.
    """
    q, p = F.softmax(student / tau, dim=1), F.softmax(teacher / tau, dim=1)
    return tau**2 * (inter_weight * _decorrelation(q, p) + intra_weight * _decorrelation(q.T, p.T))


def _decorrelation(one: Tensor, other: Tensor) -> Tensor:
    """1 - the mean over rows of their Pearson correlation."""
    centred = [values - values.mean(dim=1, keepdim=True) for values in (one, other)]
    return 1 - F.cosine_similarity(*centred, dim=1).mean()


LOSSES: dict[str, Callable[..., Tensor]] = {"kd": kd, "dkd": dkd, "dist": dist}


def standardise(logits: Tensor) -> Tensor:
    """Logits [B, C] with mean 0 and sample standard deviation 1 in each row (Sun et al., 2024, as in their code)."""
    return (logits - logits.mean(dim=1, keepdim=True)) / (logits.std(dim=1, keepdim=True) + 1e-7)


class LossSettings(Protocol):
    """What every loss is told; a term's keyword parameters are further attributes, by name.

    Attributes:
        name: of the term, see `LOSSES`.
        alpha: weight of the term.
        cross_entropy_weight: weight of the cross-entropy with the labels.
        standardise: give the term standardised logits.
    """

    name: str
    alpha: float
    cross_entropy_weight: float
    standardise: bool


def make_loss(config: LossSettings) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The loss that `config` describes: (student logits, teacher logits, labels) to a scalar, the batch mean."""
    term = LOSSES[config.name]
    taken = [p.name for p in inspect.signature(term).parameters.values() if p.kind is p.KEYWORD_ONLY]
    settings = {name: getattr(config, name) for name in taken if hasattr(config, name)}

    def loss(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        compared = (standardise(student), standardise(teacher)) if config.standardise else (student, teacher)
        distillation = term(*compared, labels, **settings)
        return config.cross_entropy_weight * F.cross_entropy(student, labels) + config.alpha * distillation

    return loss


def feature_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of two features (FitNets; Romero et al., 2015), both [B, C, H, W] or both [B, C].

    Where the sides differ, each is averaged down to the smaller.
    """
    if student.dim() == 4:
        height, width = (min(pair) for pair in zip(student.shape[2:], teacher.shape[2:], strict=True))
        student, teacher = (F.adaptive_avg_pool2d(feature, (height, width)) for feature in (student, teacher))
    return F.mse_loss(student, teacher)
