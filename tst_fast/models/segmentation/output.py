"""What every segmentation network puts out."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class SegmentationOutput(NamedTuple):
    """Logits at a network's own stride, and how they become those of pixels.

    Attributes:
        logits: floating [B, C, h, w].
        auxiliary: those of the auxiliary head, floating [B, C, h, w]; None without one.
        align_corners: whether the corner cells lie on the corner pixels when logits are resized, rather than over them.
    """

    logits: Tensor
    auxiliary: Tensor | None = None
    align_corners: bool = False

    def resized(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """`logits` or `auxiliary` at the size of a label map, or of another network's: [B, C, *size], bilinear.

        In float32, or float64 where they are.
        """
        logits = logits.float() if logits.itemsize < 4 else logits
        if logits.shape[2:] == size:
            return logits
        return F.interpolate(logits, size, mode="bilinear", align_corners=self.align_corners)

    def split(self, images: int) -> list[SegmentationOutput]:
        """Of each `images` images, one after the other, as torch.Tensor.split."""
        logits = self.logits.split(images)
        auxiliary = [None] * len(logits) if self.auxiliary is None else self.auxiliary.split(images)
        return [SegmentationOutput(*each, self.align_corners) for each in zip(logits, auxiliary, strict=True)]
