"""Validation of arrays of labels, one for each image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tst_pipelines.protocol import DataError


def require_labels(labels: object, images: int, classes: Sequence[str], name: str) -> None:
    """Refuse labels that are not one class for each image.

    Args:
        labels: int64 [images], positions in `classes`.
        images: their number.
        classes: names of the classes.
        name: what to call the data set in the message.

    Raises:
        DataError: another type or shape, or a label outside `classes`.
    """
    if not isinstance(labels, np.ndarray):
        raise DataError(f"{name}: labels must be a NumPy array, int64 [{images}], got a {type(labels).__name__}")
    if labels.shape != (images,) or labels.dtype != np.int64:
        raise DataError(f"{name}: labels must be int64 [{images}], got {labels.dtype} {list(labels.shape)}")
    if images and not 0 <= labels.min() <= labels.max() < len(classes):
        outside = labels[(labels < 0) | (labels >= len(classes))][0]
        raise DataError(f"{name}: labels must be 0 to {len(classes) - 1}, positions in its classes, got {outside}")
