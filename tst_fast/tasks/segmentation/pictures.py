"""Images with their labels and a network's answers, in colours."""

from collections.abc import Mapping, Sequence
from pathlib import Path

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


def draw_table(
    file: Path, columns: Mapping[str, Sequence[np.ndarray]], classes: Sequence[str], shown: Sequence[int]
) -> None:
    """Write a PNG with a row for each image, a column for each kind of picture, and the colours of classes.

    Args:
        file: where to.
        columns: title to pictures, uint8 [H, W, 3], as many in each column.
        classes: names of all classes.
        shown: those whose colours are told, positions in `classes`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # only where it is needed: it takes a second to import
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows = len(next(iter(columns.values())))
    figure = Figure(figsize=(3 * len(columns), 2.4 * rows + 0.8), layout="constrained")
    FigureCanvasAgg(figure)  # draws into memory, without a window
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for column, (title, pictures) in enumerate(columns.items()):
        axes[0, column].set_title(title)
        for axis, picture in zip(axes[:, column], pictures, strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set_axis_off()
    patches = [Patch(color=COLOURS[label] / 255, label=classes[label]) for label in shown]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(len(patches), 10) or 1)
    figure.savefig(file, dpi=100)
