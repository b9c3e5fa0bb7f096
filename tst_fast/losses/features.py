"""What features of a student and a teacher have to do with each other."""

import torch.nn.functional as F
from torch import Tensor


def feature_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of two features (FitNets; Romero et al., 2015), both [B, C, H, W] or both [B, C].

    Where the sides differ, each is averaged down to the smaller.
    """
    if student.dim() == 4:
        height, width = (min(pair) for pair in zip(student.shape[2:], teacher.shape[2:], strict=True))
        student, teacher = (F.adaptive_avg_pool2d(feature, (height, width)) for feature in (student, teacher))
    return F.mse_loss(student, teacher)
