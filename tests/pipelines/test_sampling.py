"""Shares of an epoch and their random numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tst_pipelines import DataError, Share, random_share, stratified
from tst_pipelines.sampling import Sampler, permutation, uniforms

small = st.integers(1, 9)


def epoch_of(size: int, batch: int, world: int, training: bool, epoch: int = 0) -> list[list[np.ndarray]]:
    samplers = [Sampler(size, batch, Share(training, 3, rank, world)) for rank in range(world)]
    return [[sampler.indices(epoch, step) for step in range(sampler.steps)] for sampler in samplers]


@given(batch=small, world=small, spare=st.integers(0, 300), epoch=st.integers(0, 3))
def test_training_shares_are_disjoint_and_full(batch: int, world: int, spare: int, epoch: int) -> None:
    size = batch * world + spare
    ranks = epoch_of(size, batch, world, True, epoch)
    seen = np.concatenate([batch for rank in ranks for batch in rank])
    steps = size // (batch * world)
    assert len(seen) == len(set(seen.tolist())) == steps * batch * world
    assert all(len(rank) == steps and all(len(indices) == batch for indices in rank) for rank in ranks)
    assert seen.min() >= 0
    assert seen.max() < size


@given(size=st.integers(1, 300), batch=small, world=small)
def test_evaluation_gives_each_image_once(size: int, batch: int, world: int) -> None:
    ranks = epoch_of(size, batch, world, False)
    assert sorted(i for rank in ranks for indices in rank for i in indices) == list(range(size))
    shares = [sum(map(len, rank)) for rank in ranks]
    assert max(shares) - min(shares) <= 1
    assert all(1 <= len(indices) <= batch for rank in ranks for indices in rank)


def test_each_epoch_and_seed_has_its_own_order() -> None:
    orders = [permutation(50, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({order.tobytes() for order in orders}) == 4
    assert np.array_equal(permutation(50, 0, 1), permutation.__wrapped__(50, 0, 1))


def test_the_remainder_differs_between_epochs() -> None:
    seen = [set(np.concatenate(epoch_of(10, 7, 1, True, epoch)[0]).tolist()) for epoch in range(5)]
    assert len({frozenset(epoch) for epoch in seen}) > 1


@given(cut=st.integers(0, 40), numbers=st.integers(0, 25))
def test_numbers_depend_on_the_position_alone(cut: int, numbers: int) -> None:
    whole = uniforms(7, 2, 0, 40, numbers)
    assert whole.shape == (40, numbers)
    assert np.array_equal(
        whole, np.concatenate([uniforms(7, 2, 0, cut, numbers), uniforms(7, 2, cut, 40 - cut, numbers)])
    )


def test_numbers_are_uniform_and_independent() -> None:
    drawn = uniforms(0, 0, 0, 20_000, 23)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    # Standard errors: 0.289 / sqrt(20000) = 0.002 for a mean, 1 / sqrt(20000) = 0.007 for a correlation.
    assert np.abs(drawn.mean(0) - 0.5).max() < 0.01
    assert np.abs(np.corrcoef(drawn.T) - np.eye(23)).max() < 0.04
    assert len(np.unique(drawn)) == drawn.size
    assert abs(np.corrcoef(drawn[:, 0], uniforms(0, 1, 0, 20_000, 23)[:, 0])[0, 1]) < 0.04


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 512}, "batch of 512 exceeds the 400 training images: lower the batch size"),
        ({"batch_size": 64, "world_size": 8}, r"512 \(64 on each of 8 ranks\) exceeds the 400"),
        ({"batch_size": 0}, "batch size must be positive, got 0"),
        ({"batch_size": 4, "rank": 2, "world_size": 2}, "rank must be 0 to 1, below the world size, got 2"),
        ({"batch_size": 4, "rank": -1}, "rank must be .* got -1"),
        ({"batch_size": 4, "seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_impossible_requests_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Sampler(400, arguments.pop("batch_size"), Share(training=True, **arguments))


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=8), fraction=st.floats(0.01, 1), seed=st.integers(0, 99)
)
def test_a_few_shot_subset_keeps_each_class(counts: list[int], fraction: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    kept = stratified(labels, fraction, seed)
    assert (np.diff(kept) > 0).all()
    expected = [max(1, round(fraction * count)) for count in counts]
    assert np.bincount(labels[kept], minlength=len(counts)).tolist() == expected
    assert set(stratified(labels, fraction / 2, seed)) <= set(kept)


def test_a_few_shot_subset_is_a_matter_of_the_seed() -> None:
    labels = np.repeat(np.arange(10), 50)
    assert np.array_equal(stratified(labels, 0.1, 1), stratified(labels, 0.1, 1))
    assert not np.array_equal(stratified(labels, 0.1, 1), stratified(labels, 0.1, 2))


@given(size=st.integers(1, 300), fraction=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_a_random_share_of_images_without_classes(size: int, fraction: float, seed: int) -> None:
    kept = random_share(size, fraction, seed)
    assert (np.diff(kept) > 0).all()
    assert kept.min() >= 0 and kept.max() < size
    assert len(kept) == max(1, round(fraction * size))
    assert set(random_share(size, fraction / 2, seed)) <= set(kept)
