"""Weights and losses of the pixels of label maps; images count equally, so that parts and ranks of a batch add up."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = 255
"""The label of a pixel that has none."""


def pixel_weights(labels: Tensor, by: Literal["images", "classes"] = "images", ignore: int = IGNORED) -> Tensor:
    """Weights of pixels that sum to 1 over a batch; an image without labelled pixels leaves its share out.

    Args:
        labels: uint8 [B, H, W].
        by: images (the labelled pixels of an image share 1/B equally) or classes (the classes present in an image
            share 1/B equally, and the pixels of each class what it gets).
        ignore: the label of pixels that count nothing.

    Returns:
        float32 [B, H, W], not negative.
    """
    counted, kinds = labels != ignore, labels.flatten(1).long()
    if by == "images":
        pixels = counted.sum((1, 2), keepdim=True).clamp(min=1)
        return counted / (len(labels) * pixels)
    pixels = torch.zeros(len(labels), 256, dtype=torch.int64, device=labels.device)
    pixels.scatter_add_(1, kinds, counted.flatten(1).long())  # of integers: the same on every run
    classes = (pixels > 0).sum(1, keepdim=True).clamp(min=1)
    shares = 1 / (len(labels) * classes * pixels.clamp(min=1))
    return shares.gather(1, kinds).view_as(labels) * counted


def cell_weights(weights: Tensor, size: tuple[int, int]) -> Tensor:
    """Weights of the cells of a network's map: the sums of their pixels'.

    Args:
        weights: floating [B, H, W], of pixels, as `pixel_weights` gives them.
        size: rows and columns of the map.

    Returns:
        floating [B, *size]; each image's sum is that of its pixels.
    """
    cells = F.adaptive_avg_pool2d(weights.unsqueeze(1), size).squeeze(1)
    of_images = weights.sum((1, 2), keepdim=True)
    return cells * of_images / cells.sum((1, 2), keepdim=True).clamp(min=torch.finfo(cells.dtype).tiny)


def cell_labels(labels: Tensor, classes: int, size: tuple[int, int], ignore: int = IGNORED) -> Tensor:
    """The classes in the cells of a network's map, as a distribution: the share of each among the labelled pixels.

    Args:
        labels: uint8 [B, H, W]; all but `ignore` are below `classes`.
        classes: their number, C.
        size: rows and columns of the map; at most H and W.
        ignore: the label of pixels that count nothing.

    Returns:
        float32 [B, C, *size]; all 0 in a cell without labelled pixels.
    """
    rows, columns = (
        torch.arange(side, device=labels.device) * cells // side
        for side, cells in zip(labels.shape[1:], size, strict=True)
    )
    counted = labels != ignore
    cells = rows[:, None] * size[1] + columns
    # Of integers, so that the sum is the same on every run, and without a full-size map for each class.
    pixels = torch.zeros(len(labels), classes * size[0] * size[1], dtype=torch.int64, device=labels.device)
    places = torch.where(counted, labels, 0).long() * (size[0] * size[1]) + cells
    pixels.scatter_add_(1, places.flatten(1), counted.flatten(1).long())
    pixels = pixels.view(len(labels), classes, *size)
    return pixels / pixels.sum(1, keepdim=True).clamp(min=1)


def pixel_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, ignore: int = IGNORED) -> Tensor:
    """Cross-entropy of a label map, a scalar: the sum over pixels of their weight times theirs.

    Args:
        logits: floating [B, C, H, W].
        labels: uint8 [B, H, W].
        weights: floating [B, H, W], 0 where there is no label.
        ignore: the label of pixels that count nothing.
    """
    losses = F.cross_entropy(logits, labels.long(), ignore_index=ignore, reduction="none")
    return (weights * losses).sum()
