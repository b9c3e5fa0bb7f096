"""Where the pixels of a batch come from: whole numbers, which images, label maps and boxes all follow exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Placement:
    """For each image a region, resized to a size, perhaps mirrored, and put at the top left of a canvas.

    Attributes:
        whole: int32 [B, 2], height and width of the image.
        start: int32 [B, 2], top and left of the region.
        extent: int32 [B, 2], its height and width.
        size: int32 [B, 2], height and width that it is resized to.
        mirrored: int32 [B, 1], 1 where it is then mirrored left to right.
        canvas: height and width of what it is put on.
        fill: red, green and blue of the canvas beside it, 0..255.
    """

    whole: np.ndarray
    start: np.ndarray
    extent: np.ndarray
    size: np.ndarray
    mirrored: np.ndarray
    canvas: tuple[int, int]
    fill: tuple[int, int, int] = (0, 0, 0)

    def label_map(self, labels: np.ndarray, row: int, fill: int) -> np.ndarray:
        """What becomes of the label map of image number `row`: each pixel takes the label that is nearest.

        Args:
            labels: [H, W], of the size of the image.
            row: the image's position in the batch.
            fill: the label of the canvas beside the picture.

        Returns:
            The same type, [canvas height, canvas width].
        """
        rows, columns = (
            _nearest(self.start[row, axis], self.extent[row, axis], self.size[row, axis]) for axis in (0, 1)
        )
        if self.mirrored[row, 0]:
            columns = columns[::-1]
        placed = np.full(self.canvas, fill, labels.dtype)
        placed[: len(rows), : len(columns)] = labels.take(rows, 0).take(columns, 1)
        return placed


def _nearest(start: int, extent: int, size: int) -> np.ndarray:
    """The pixel that each of `size` pixels is taken from: int64 [size].

    Pillow's NEAREST, in its order of summation: where a centre falls on the border of two pixels, roundings decide.
    """
    step = extent / size
    centres = np.full(size, step)
    centres[0] = start + step / 2
    return np.add.accumulate(centres).astype(np.int64)
