"""Random images: the same wherever and however they are loaded."""

from __future__ import annotations

import numpy as np
import pytest

from tst_pipelines import DataError, Share, SyntheticDataset, SyntheticLoader


def by_index(loader: SyntheticLoader) -> dict[int, bytes]:
    batches = list(loader)
    return {
        int(i): image.tobytes()
        for batch in batches
        for i, image in zip(batch.indices, batch.images.numpy(), strict=True)
    }


def test_an_image_is_a_function_of_its_number() -> None:
    data = SyntheticDataset(300, 7)
    one = by_index(SyntheticLoader(data, 5, 60, Share(training=True, seed=1)))
    other = by_index(SyntheticLoader(data, 5, 7, Share(training=False)))
    assert one == other
    assert len(set(one.values())) == 256
    assert by_index(SyntheticLoader(SyntheticDataset(300, 7, seed=1), 5, 60, Share(training=True))) != one


def test_bytes_and_labels_are_uniform() -> None:
    data = SyntheticDataset(70_000, 7)
    counts = np.bincount(data.labels, minlength=7)
    assert np.abs(counts - 10_000).max() < 500  # five standard deviations
    (batch,) = SyntheticLoader(SyntheticDataset(256, 7), 32, 256, Share(training=False))
    counts = np.bincount(batch.images.numpy().ravel(), minlength=256)
    assert np.abs(counts - counts.mean()).max() < 5 * counts.mean() ** 0.5


def test_none_is_refused() -> None:
    with pytest.raises(DataError, match="images and classes must be positive, got 0"):
        SyntheticDataset(0, 3)
