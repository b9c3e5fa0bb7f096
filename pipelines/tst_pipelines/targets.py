"""The targets of a batch: classes, label maps or boxes, in tensors alone, so that nothing waits for the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tst_pipelines.loaders.transfer import to_device


@dataclass(frozen=True, eq=False)
class Targets:
    """The targets of B images.

    Attributes:
        labels: of recognition, int64 [B], or float [B, C], the probability of each class; of segmentation, uint8
            [B, H, W], 255 where a pixel is to be ignored; of detection, int64 [B, M], -1 where there is no object.
        boxes: of detection, float32 [B, M, 4]: left, top, right, bottom in pixels; 0 where there is no object.
        sizes: int32 [B, 2]: height and width of the picture, at the top left of an image that is padded; None where
            none is.
    """

    labels: torch.Tensor
    boxes: torch.Tensor | None = None
    sizes: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice | torch.Tensor) -> Targets:
        """The targets of some of the images: a slice, or positions int64 [R] or a mask bool [B] on the same device."""
        return Targets(**{name: tensor[rows] for name, tensor in self._tensors().items()})

    def to(self, device: torch.device | str) -> Targets:
        """The same on another device; see `to_device`."""
        device = torch.device(device)
        return Targets(**{name: to_device(tensor, device) for name, tensor in self._tensors().items()})

    @staticmethod
    def cat(parts: Sequence[Targets]) -> Targets:
        """One after the other: targets of one kind; of detection, M becomes the largest."""
        tensors = [part._tensors() for part in _of_one_width(parts)]
        return Targets(**{name: torch.cat([part[name] for part in tensors]) for name in tensors[0]})

    def tensor_split(self, parts: int) -> list[Targets]:
        """Consecutive parts whose sizes differ by one image at most."""
        pieces = {name: tensor.tensor_split(parts) for name, tensor in self._tensors().items()}
        return [Targets(**{name: pieces[name][part] for name in pieces}) for part in range(parts)]

    def _widened(self, more: int) -> Targets:
        """The same, padded for more objects."""
        assert self.boxes is not None
        labels = torch.nn.functional.pad(self.labels, (0, more), value=-1)
        return Targets(labels, torch.nn.functional.pad(self.boxes, (0, 0, 0, more)), self.sizes)

    def _tensors(self) -> dict[str, torch.Tensor]:
        """All but those that are None, by name."""
        tensors = {"labels": self.labels, "boxes": self.boxes, "sizes": self.sizes}
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _of_one_width(parts: Sequence[Targets]) -> Sequence[Targets]:
    """The same, with objects padded to one number in all parts."""
    if any(part.boxes is None for part in parts):
        return parts
    most = max(part.labels.shape[1] for part in parts)
    return [part._widened(most - part.labels.shape[1]) for part in parts]
