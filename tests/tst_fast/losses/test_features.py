"""The distance of two features, by its formula in NumPy."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from tst_fast.losses.features import feature_distance


def test_features_of_other_sides_are_averaged_to_the_smaller():
    student, teacher = np.random.default_rng(1).normal(size=(2, 3, 2, 8, 8))
    pooled = teacher.reshape(3, 2, 4, 2, 4, 2).mean(axis=(3, 5))
    small = student[:, :, :4, :4]
    expected = ((small - pooled) ** 2).mean()
    for pair in ((small, teacher), (teacher, small)):
        assert feature_distance(*map(torch.from_numpy, pair)).item() == pytest.approx(expected)
    flat = feature_distance(torch.from_numpy(student[:, :, 0, 0]), torch.from_numpy(teacher[:, :, 0, 0]))
    assert flat.item() == pytest.approx(((student - teacher)[:, :, 0, 0] ** 2).mean())


def test_correlation_and_places():
    """PKD is 1 - Pearson's correlation of each channel, CWD a divergence over its places."""
    student, teacher = np.random.default_rng(2).normal(size=(2, 3, 2, 4, 5))
    correlations = [np.corrcoef(student[:, c].ravel(), teacher[:, c].ravel())[0, 1] for c in range(2)]
    tensors = [torch.from_numpy(feature) for feature in (student, teacher)]
    assert feature_distance(*tensors, "pkd").item() == pytest.approx(1 - np.mean(correlations))
    assert feature_distance(tensors[0], 3 * tensors[0] + 1, "pkd").item() == pytest.approx(0, abs=1e-9)
    divergences = [
        entropy(np.exp(teacher[i, c].ravel()), np.exp(student[i, c].ravel())) for i in range(3) for c in range(2)
    ]
    assert feature_distance(*tensors, "cwd").item() == pytest.approx(np.mean(divergences))
