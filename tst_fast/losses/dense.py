"""Distillation of maps: what a student's logits have in common with a teacher's at every place.

All take logits, floating [B, C, h, w], at the student's stride, and weights of their cells, floating [B, h, w], not
negative, as `pixels.cell_weights` gives them. Each image counts with the sum of its cells' weights, and is compared by
itself, so that parts of a batch, on one process or several, add up. kd is that of `distillation`, on `rows`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def rows(maps: Tensor) -> Tensor:
    """Maps [B, C, h, w] as rows [B h w, C], in the order of weights [B, h, w] flattened."""
    return maps.movedim(1, -1).flatten(0, -2)


def cwd(student: Tensor, teacher: Tensor, weights: Tensor, *, tau: float) -> Tensor:
    """Channel-wise distillation (Shu et al., 2021), a scalar: tau^2 KL, the mean over classes.

    The distribution of a class is over the cells of an image that count; it is not weighted among these.

    Args:
        student: logits, floating [B, C, h, w].
        teacher: logits, floating [B, C, h, w].
        weights: of cells, floating [B, h, w].
        tau: temperature.
    """
    of_images = weights.sum((1, 2))
    left_out = (weights == 0) & (of_images > 0)[:, None, None]  # an image that counts nothing keeps its cells: no NaN
    left_out = left_out.flatten(1).unsqueeze(1)
    log_q, log_p = (
        (logits / tau).flatten(2).masked_fill(left_out, -torch.inf).log_softmax(dim=2) for logits in (student, teacher)
    )
    divergence = (log_p.exp() * (log_p - log_q).masked_fill(left_out, 0)).sum(dim=2).mean(dim=1)
    return tau**2 * (of_images * divergence).sum()


def dist(
    student: Tensor, teacher: Tensor, weights: Tensor, *, tau: float, inter_weight: float, intra_weight: float
) -> Tensor:
    """DIST (Huang et al., 2022) of maps, a scalar: tau^2 (1 - Pearson correlation), within cells and within classes.

    The authors correlate each class over the cells of the whole batch; here it is over those of each image.

    Args:
        student: logits, floating [B, C, h, w].
        teacher: logits, floating [B, C, h, w].
        weights: of cells, floating [B, h, w].
        tau: temperature.
        inter_weight: the paper's beta, for the correlation over classes in each cell.
        intra_weight: the paper's gamma, for the correlation over an image's cells of each class.
    """
    q, p = ((logits / tau).softmax(dim=1).flatten(2) for logits in (student, teacher))  # [B, C, h w]
    weights = weights.flatten(1)
    of_images = weights.sum(1)
    equal = weights.new_full((q.shape[1], 1), 1 / q.shape[1])
    share = (weights / of_images.clamp(min=torch.finfo(weights.dtype).tiny)[:, None]).unsqueeze(1)
    inter = (weights * (1 - _correlation(q, p, equal, dim=1))).sum()
    intra = (of_images * (1 - _correlation(q, p, share, dim=2).mean(dim=1))).sum()
    return tau**2 * (inter_weight * inter + intra_weight * intra)


def _correlation(one: Tensor, other: Tensor, share: Tensor, dim: int) -> Tensor:
    """Pearson correlation along a dimension, weighted by shares that sum to 1 along it; 0 where nothing varies."""
    centred = [share.sqrt() * (values - (share * values).sum(dim=dim, keepdim=True)) for values in (one, other)]
    return F.cosine_similarity(*centred, dim=dim)
