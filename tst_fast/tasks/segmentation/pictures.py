"""Images with their labels and a network's answers, in colours."""

import numpy as np
from torch import Tensor

from tst_fast.losses.pixels import IGNORED


def _colour_map() -> np.ndarray:
    """A colour for each label: bit 3 k + c of the label is bit 7 - k of channel c (Everingham et al., Pascal VOC)."""
    labels, colours = np.arange(256), np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((labels >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours


COLOURS = _colour_map()
"""uint8 [256, 3], RGB; that of Pascal VOC, where 255 is a light border."""


def colour_of(label: int) -> tuple[float, float, float]:
    """Red, green and blue of a label, 0..1."""
    red, green, blue = (COLOURS[label] / 255).tolist()
    return red, green, blue


def coloured(labels: np.ndarray) -> np.ndarray:
    """A label map uint8 [H, W] in colours, uint8 [H, W, 3]."""
    return COLOURS[labels]


def overlaid(images: Tensor, labels: Tensor, share: float = 0.6) -> list[np.ndarray]:
    """Images with their label maps over them; a pixel without a label shows the image alone.

    Args:
        images: uint8 [B, H, W, 3], RGB.
        labels: uint8 [B, H, W].
        share: of the colour, the rest is the image's.

    Returns:
        uint8 [H, W, 3] for each image.
    """
    pictures = []
    for image, label in zip(images[..., :3].cpu().numpy(), labels.cpu().numpy(), strict=True):
        mixed = (share * coloured(label) + (1 - share) * image).round().astype(np.uint8)
        pictures.append(np.where((label == IGNORED)[..., None], image, mixed))
    return pictures
