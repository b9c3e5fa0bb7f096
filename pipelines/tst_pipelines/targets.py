"""What is asked of a network about its images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, eq=False)
class Targets:
    """What a batch of images is labelled with; all fields share the first dimension.

    Attributes:
        labels: recognition: int64 [B], or a distribution over classes, floating [B, C]; segmentation: uint8 [B, H, W],
            255 where there is no label; detection: int64 [B, M], -1 where there is no object.
        boxes: detection: float32 [B, M, 4], x1 y1 x2 y2 in pixels of the images; None otherwise.
        sizes: int32 [B, 2], height and width of the picture, at the top left of its image; None: all of it.
    """

    labels: torch.Tensor
    boxes: torch.Tensor | None = None
    sizes: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> Targets:
        return self._map(lambda values: values[rows])

    def to(self, device: torch.device) -> Targets:
        """The same on another device."""
        return self._map(lambda values: values.to(device))

    @staticmethod
    def cat(parts: Sequence[Targets]) -> Targets:
        """The images of all parts, one after the other."""
        fields = zip(*((part.labels, part.boxes, part.sizes) for part in parts), strict=True)
        return Targets(*(None if values[0] is None else torch.cat(values) for values in fields))

    def _map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Targets:
        fields = self.labels, self.boxes, self.sizes
        return Targets(*(None if values is None else change(values) for values in fields))
