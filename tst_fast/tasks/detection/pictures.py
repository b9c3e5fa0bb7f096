"""Images with boxes drawn in."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from torch import Tensor
from torchvision.utils import draw_bounding_boxes

from tst_pipelines import Targets

SURE = 0.3
"""Score from which a detection is drawn."""
SIDE = 300
"""Pixels: images with shorter sides are enlarged by whole factors, so that what is written on them can be read."""
FONT = str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")
COLOURS = ("tomato", "lime", "deepskyblue", "yellow", "magenta", "cyan", "orange", "white", "violet", "springgreen")


def with_boxes(image: Tensor, boxes: Tensor, labels: Tensor, classes: tuple[str, ...]) -> np.ndarray:
    """An image with a box, in its class's colour and with its name, for each object.

    Args:
        image: uint8 [H, W, 3], RGB.
        boxes: floating [D, 4], left, top, right and bottom in pixels.
        labels: int64 [D], positions in `classes`.
        classes: names.

    Returns:
        uint8 [k H, k W, 3].
    """
    factor = max(SIDE // max(image.shape[:2]), 1)
    large = image[..., :3].cpu().repeat_interleave(factor, dim=0).repeat_interleave(factor, dim=1).permute(2, 0, 1)
    if not len(boxes):
        return large.permute(1, 2, 0).numpy()
    colours = [COLOURS[label % len(COLOURS)] for label in labels.tolist()]
    names = [classes[label] for label in labels.tolist()]
    words = {"font": FONT, "font_size": 13, "label_colors": "black", "fill_labels": True}
    placed = boxes.detach().cpu().float() * factor
    drawn = draw_bounding_boxes(large.contiguous(), placed, names, colours, width=2, **words)
    return drawn.permute(1, 2, 0).numpy()


def with_targets(images: Tensor, targets: Targets, classes: tuple[str, ...]) -> list[np.ndarray]:
    """Each image uint8 [B, H, W, 3] with the boxes of its targets."""
    assert targets.boxes is not None  # as those of detection have
    rows = zip(images, targets.boxes, targets.labels, strict=True)
    return [with_boxes(image, boxes[labels >= 0], labels[labels >= 0], classes) for image, boxes, labels in rows]


def with_detections(images: Tensor, found: Sequence[dict[str, Tensor]], classes: tuple[str, ...]) -> list[np.ndarray]:
    """Each image uint8 [B, H, W, 3] with what was found in it, see `DenseOutput.detections`, as far as it is sure."""
    pictures = []
    for image, one in zip(images, found, strict=True):
        sure = torch.nonzero(one["scores"] >= SURE).squeeze(1)
        pictures.append(with_boxes(image, one["boxes"][sure], one["labels"][sure], classes))
    return pictures
