"""Feature distillation losses."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def feature_distance(student: Tensor, teacher: Tensor, name: str = "mse") -> Tensor:
    """A distance of two features, both [B, C, H, W] or both [B, C]: a scalar.

    Where the sides differ, each is averaged down to the smaller.

    Args:
        student: floating.
        teacher: floating, of as many channels.
        name: in `FEATURE_LOSSES`.
    """
    if student.dim() == 4:
        height, width = (min(pair) for pair in zip(student.shape[2:], teacher.shape[2:], strict=True))
        student, teacher = (F.adaptive_avg_pool2d(feature, (height, width)) for feature in (student, teacher))
    return FEATURE_LOSSES[name](student, teacher)


def pkd(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - Pearson correlation over images and places, the mean over channels (Cao et al., 2022, section 3.2)."""
    rows = [feature.transpose(0, 1).flatten(1) for feature in (student, teacher)]
    centred = [values - values.mean(dim=1, keepdim=True) for values in rows]
    return 1 - F.cosine_similarity(*centred, dim=1).mean()


def cwd(student: Tensor, teacher: Tensor) -> Tensor:
    """KL divergence of where each channel of an image is high (Shu et al., 2021), the mean over images and channels."""
    log_q, log_p = (feature.flatten(2).log_softmax(dim=2) for feature in (student, teacher))
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=2).mean()


FEATURE_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": F.mse_loss, "pkd": pkd, "cwd": cwd}
