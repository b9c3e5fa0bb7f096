"""Where the pixels of a batch come from, in whole numbers: images, label maps and boxes all follow them exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_VISIBLE = 0.25  # share of a box's area


@dataclass(frozen=True, eq=False)
class Placement:
    """For each image, a region that is resized, perhaps mirrored, and put at the top left of a canvas.

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
        """The label map of image number `row` on the canvas, resized by nearest neighbour.

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

    def boxes(self, boxes: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes on the canvas.

        Args:
            boxes: float64 [K, 4], left, top, right and bottom in the pixels of the image.
            rows: int64 [K], the image's position in the batch.

        Returns:
            Boxes on the canvas, clipped to the picture, float64 [K, 4]; and whether enough of each is left, bool [K]: a
            pixel of each side and a quarter of the area.
        """
        start, extent, size = (array[rows][:, ::-1] for array in (self.start, self.extent, self.size))
        corners = (boxes.reshape(-1, 2, 2) - start[:, None]) * (size / extent)[:, None]
        mirrored = self.mirrored[rows, 0] > 0
        corners[mirrored, :, 0] = size[mirrored, :1] - corners[mirrored, ::-1, 0]
        seen = corners.clip(0, size[:, None])
        sides, whole = seen[:, 1] - seen[:, 0], corners[:, 1] - corners[:, 0]
        kept = (sides >= 1).all(1) & (sides.prod(1) >= _VISIBLE * whole.prod(1))
        return seen.reshape(-1, 4), kept

    def to_image(self, boxes: np.ndarray, row: int) -> np.ndarray:
        """Boxes on the canvas, [K, 4], in the pixels of image number `row`: the inverse of `boxes`, float64."""
        size, extent = self.size[row, ::-1], self.extent[row, ::-1]
        corners = np.array(boxes, np.float64).reshape(-1, 2, 2)
        if self.mirrored[row, 0]:
            corners[..., 0] = size[0] - corners[:, ::-1, 0]
        return (corners * (extent / size) + self.start[row, ::-1]).reshape(-1, 4)


def _nearest(start: int, extent: int, size: int) -> np.ndarray:
    """The pixel that each of `size` pixels is taken from: int64 [size].

    Pillow's NEAREST, in its order of summation: where a centre falls on the border of two pixels, roundings decide.
    """
    step = extent / size
    centres = np.full(size, step)
    centres[0] = start + step / 2
    return np.add.accumulate(centres).astype(np.int64)
