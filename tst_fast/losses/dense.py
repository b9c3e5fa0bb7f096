"""Distillation losses on maps of logits, for segmentation.

All take logits, floating [B, C, h, w], at the student's stride, and weights of their cells, floating [B, h, w], not
negative, as `pixels.cell_weights` gives them. Each image counts with the sum of its cells' weights, and is compared by
itself, so that parts of a batch, on one process or several, add up. The terms of `distillation` are for `rows`.
"""

import torch
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
