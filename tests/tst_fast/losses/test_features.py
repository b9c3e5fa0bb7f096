"""The distance of two features, by its formula in NumPy."""

import numpy as np
import pytest
import torch

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
