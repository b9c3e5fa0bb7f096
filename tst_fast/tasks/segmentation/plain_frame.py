"""Logits of augmented images at the pixels of the plain ones, so that the search's gradient knows that labels move.

A label map that is resampled with the image has no gradient: what is left says how answers change when the image moves
and its labels do not, which for a translation may have the wrong sign. So the labels stay, and the logits come back.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from tst_fast.losses.pixels import IGNORED
from tst_kernels import box_mask, invert


def augmented_positions(theta: Tensor, size: tuple[int, int]) -> Tensor:
    """Where each pixel of the plain images lies in the augmented ones.

    Args:
        theta: floating [B, 2, 3], of the warp: augmented position to plain position, in the normalised coordinates of
            `affine_grid`; invertible.
        size: height and width of the images, in pixels.

    Returns:
        [B, *size, 2], (x, y); beyond -1..1 where the augmented image does not show the pixel. Differentiable in theta.
    """
    return F.affine_grid(invert(theta), [len(theta), 1, *size], align_corners=False)


def pulled_back(logits: Tensor, positions: Tensor, align_corners: bool = False) -> Tensor:
    """Logits of augmented images at the pixels of the plain ones, bilinear.

    Resizes as well: without a warp, it gives what `SegmentationOutput.resized` gives.

    Args:
        logits: floating [B, C, h, w], at the network's stride.
        positions: [B, H, W, 2], see `augmented_positions`.
        align_corners: as in the network's `SegmentationOutput`.

    Returns:
        [B, C, H, W] in the dtype of `positions`, differentiable in both; outside the frame, the nearest border's.
    """
    if align_corners:  # from -1 and 1 at the borders of the corner pixels to -1 and 1 at their centres
        sides = positions.new_tensor([positions.shape[2], positions.shape[1]])
        positions = positions * (sides / (sides - 1).clamp(min=1))
    return F.grid_sample(logits.to(positions.dtype), positions, padding_mode="border", align_corners=align_corners)


def seen_labels(labels: Tensor, positions: Tensor, erased: Tensor, ignore: int = IGNORED) -> Tensor:
    """The labels that the augmented images show: `ignore` where they lie outside, and where Cutout erased.

    Args:
        labels: uint8 [B, H, W], of the plain images.
        positions: [B, H, W, 2], see `augmented_positions`.
        erased: floating [B, 4], x1 y1 x2 y2 in pixels of the plain images; a pixel is erased if its centre is.
        ignore: the label of pixels that count nothing.

    Returns:
        uint8 [B, H, W].
    """
    inside = (positions.detach().abs() <= 1).all(dim=3)
    return torch.where(inside & ~box_mask(erased, *labels.shape[1:]), labels, ignore)
