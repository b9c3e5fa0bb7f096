"""Anchors, and targets in torchvision's form, for dense and two-stage detectors."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator

from tst_pipelines import Targets


class UnroundedAnchors(AnchorGenerator):
    """Anchors of the sizes that they are said to have, as mmdetection's; torchvision rounds them to pixels."""

    def generate_anchors(
        self,
        scales: Sequence[float],
        aspect_ratios: Sequence[float],
        dtype: torch.dtype = torch.float32,
        device: torch.device = torch.device("cpu"),  # noqa: B008
    ) -> Tensor:
        """Of each ratio of height to width and each size, around 0: [ratios x sizes, 4]."""
        sizes, roots = (torch.as_tensor(values, dtype=dtype, device=device) for values in (scales, aspect_ratios))
        roots = roots.sqrt()
        width, height = (sizes / roots[:, None]).flatten() / 2, (sizes * roots[:, None]).flatten() / 2
        return torch.stack([-width, -height, width, height], dim=1)


def grid_anchors(generator: AnchorGenerator, images: Tensor, features: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
    """The anchors of images of one size, float32 [A, 4] (float64 for such images), and how many each level has.

    Not by calling the generator, which makes them in the type of the features: in bfloat16 they would be pixels off.

    Args:
        generator: of the detector.
        images: [B, 3, H, W].
        features: of each level, [B, C, h, w].
    """
    height, width = images.shape[2:]
    generator.set_cell_anchors(torch.promote_types(images.dtype, torch.float32), images.device)
    grids = [list(feature.shape[2:]) for feature in features]
    strides = [[torch.tensor(height // rows), torch.tensor(width // columns)] for rows, columns in grids]
    levels = generator.grid_anchors(grids, strides)
    return torch.cat(levels), [len(level) for level in levels]


def listed(targets: Targets, first_label: int = 0) -> list[dict[str, Tensor]]:
    """Targets as torchvision's detectors take them: the boxes and labels of each image.

    Args:
        targets: of detection.
        first_label: the number of the first class: 1 where 0 is background.
    """
    boxes = targets.boxes
    assert boxes is not None  # as those of detection have
    present = targets.labels >= 0
    return [
        {"boxes": each[here], "labels": labels[here] + first_label}
        for each, labels, here in zip(boxes, targets.labels, present, strict=True)
    ]
