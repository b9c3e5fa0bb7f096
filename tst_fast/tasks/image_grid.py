"""Pictures in rows and columns, as one PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np


def draw_grid(
    file: Path,
    columns: Mapping[str, Sequence[np.ndarray]],
    legend: Mapping[str, tuple[float, float, float]] | None = None,
) -> None:
    """Write a PNG with a row for each image, and a column for each kind of picture.

    Args:
        file: where to.
        columns: title to pictures, uint8 [H, W, 3], as many in each column.
        legend: colours that are told below: name to red, green and blue, 0..1.
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
    if legend:
        patches = [Patch(color=colour, label=name) for name, colour in legend.items()]
        figure.legend(handles=patches, loc="outside lower center", ncols=min(len(patches), 10))
    figure.savefig(file, dpi=100)
