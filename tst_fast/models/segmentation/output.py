"""The output of segmentation networks."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tst_fast.models.precision import in_full_precision

BAND = 256
"""Rows of pixels whose logits are in memory at once, of one image, while a label map is made."""


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
        logits = in_full_precision(logits)
        if logits.shape[2:] == size:
            return logits
        return F.interpolate(logits, size, mode="bilinear", align_corners=self.align_corners)

    def at_cells(self, logits: Tensor, cells: tuple[int, int], pixels: tuple[int, int], aligned: bool) -> Tensor:
        """`logits` or `auxiliary` where another network has its cells: [B, C, *cells], bilinear, as `resized`.

        Args:
            logits: floating [B, C, h, w].
            cells: of the other network, down and across.
            pixels: height and width of the images.
            aligned: `align_corners` of the other network.
        """
        if aligned == self.align_corners:
            return self.resized(logits, cells)
        logits = in_full_precision(logits)
        numbers = (torch.arange(count, dtype=logits.dtype, device=logits.device) for count in cells)
        down, across = (self._places(*sides, aligned) for sides in zip(numbers, pixels, strict=True))
        grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=2).expand(len(logits), -1, -1, -1)
        return F.grid_sample(logits, grid, padding_mode="border", align_corners=self.align_corners)

    def _places(self, cells: Tensor, pixels: int, aligned: bool) -> Tensor:
        """Where along a side the cells of a network lie, by their numbers: -1..1 in this output's `align_corners`."""
        count = len(cells)
        places = cells * ((pixels - 1) / max(count - 1, 1)) if aligned else (cells + 0.5) * (pixels / count) - 0.5
        return 2 * places / max(pixels - 1, 1) - 1 if self.align_corners else (2 * places + 1) / pixels - 1

    def label_map(self, size: tuple[int, int]) -> Tensor:
        """The class with the highest logit at each pixel, uint8 [B, *size], without all logits of that size."""
        answers = torch.empty(len(self.logits), *size, dtype=torch.uint8, device=self.logits.device)
        for logits, answer in zip(self.logits, answers, strict=True):
            for top in range(0, size[0], BAND):
                band = answer[top : top + BAND]
                band.copy_(self._rows(logits, top, len(band), size).max(0).indices)  # argmax takes thrice as long
        return answers

    def _rows(self, logits: Tensor, top: int, count: int, size: tuple[int, int]) -> Tensor:
        """Of one image's logits, resized to `size`, the rows from `top`: [C, count, W]."""
        cells, height = logits.shape[1], size[0]
        rows = torch.arange(top, top + count, dtype=torch.float32, device=logits.device)
        if self.align_corners:
            rows = rows * ((cells - 1) / max(height - 1, 1))
        else:
            rows = ((rows + 0.5) * (cells / height) - 0.5).clamp(min=0)
        above = rows.long().clamp(max=cells - 1)
        below, logits = (above + 1).clamp(max=cells - 1), logits.float()
        band = torch.lerp(logits[:, above], logits[:, below], (rows - above)[:, None])
        return self.resized(band.unsqueeze(0), (count, size[1])).squeeze(0)

    def split(self, images: int) -> list[SegmentationOutput]:
        """Of each `images` images, one after the other, as torch.Tensor.split."""
        logits = self.logits.split(images)
        auxiliary = [None] * len(logits) if self.auxiliary is None else self.auxiliary.split(images)
        return [SegmentationOutput(*each, self.align_corners) for each in zip(logits, auxiliary, strict=True)]
