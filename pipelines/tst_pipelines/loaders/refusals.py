"""Checks that all loaders make, whose errors name what does not fit."""

from __future__ import annotations

import numpy as np

from tst_pipelines.datasets.files import PIXEL_LIMIT, shown
from tst_pipelines.protocol import DataError, Dataset
from tst_pipelines.transforms import PlacingTransform, Transform

TOO_LARGE = f"more than {PIXEL_LIMIT:,} pixels"


def require_decodable(shapes: np.ndarray) -> None:
    """Refuse images that would take gigabytes to decode; `shapes` as in their headers, [B, 2 or more]."""
    if (shapes[:, 0].astype(np.float64) * shapes[:, 1] > PIXEL_LIMIT).any():
        raise DataError(TOO_LARGE)


def require_placing(dataset: Dataset, transform: Transform) -> None:
    """Refuse a transform that label maps or boxes cannot follow."""
    if dataset.targets_in_pixels and not isinstance(transform, PlacingTransform):
        raise DataError(
            f"label maps and boxes cannot follow {type(transform).__name__}: use ScaleCropFlip and Whole, or "
            "FitAndJitter and FitAndPad"
        )


def require_one_size(dataset: Dataset, indices: np.ndarray, shapes: np.ndarray) -> None:
    """Refuse a batch of images of several sizes.

    Args:
        dataset: whose images they are.
        indices: int64 [B].
        shapes: height and width of each, [B, 2 or more].
    """
    other = int((shapes[:, :2] != shapes[0, :2]).any(1).argmax())
    if (shapes[other, :2] != shapes[0, :2]).any():
        sizes = [f"{shown(dataset.path(indices[row]))} ({shapes[row, 1]} x {shapes[row, 0]})" for row in (0, other)]
        raise DataError(f"a batch holds images of several sizes, {' and '.join(sizes)}: use batches of 1", "batch_size")
