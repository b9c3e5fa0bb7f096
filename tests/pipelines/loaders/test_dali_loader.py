"""What is particular to the DALI loader; what every loader does is in test_loaders.py."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tst_pipelines import (
    DaliLoader,
    DataError,
    ImageDataset,
    PadAndCrop,
    RandomResizedCrop,
    ResizeCenterCrop,
    Share,
)
from tst_pipelines.loaders.resizing import BatchResizer

TRANSFORM = RandomResizedCrop(24)


def training(tiles: ImageDataset, seed: int = 0, **options: int) -> DaliLoader:
    return DaliLoader(tiles, TRANSFORM, 8, Share(training=True, seed=seed), **options)


def test_a_batch_is_the_receivers_own(tiles: ImageDataset) -> None:
    with DaliLoader(tiles, ResizeCenterCrop(32), 7, Share(training=False), prefetch=1) as loader:
        kept = [(batch, batch.images.clone()) for batch in loader]
    assert all(torch.equal(batch.images, copy) for batch, copy in kept)
    with training(tiles, seed=1) as loader:
        right = [batch.images.clone() for batch in loader]
    with training(tiles, seed=1, prefetch=1) as loader:
        for batch, expected in zip(loader, right, strict=True):
            assert torch.equal(batch.images, expected)
            batch.images.fill_(255)  # writing into it spoils nothing that is to come
    with training(tiles) as loader:
        assert all(batch.indices.flags.owndata for batch in loader)


def test_a_rank_without_images_gives_nothing(tiles: ImageDataset) -> None:
    one = dataclasses.replace(tiles, files=tiles.files[:1], labels=tiles.labels[:1])
    loaders = [DaliLoader(one, ResizeCenterCrop(32), 4, Share(training=False, rank=r, world_size=2)) for r in range(2)]
    assert sorted(sum(len(batch) for batch in loader) for loader in loaders) == [0, 1]
    assert [loader.epoch for loader in loaders] == [1, 1]


def test_an_interrupted_batch_is_given_again(tiles: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    expected = list(training(tiles))
    loader = training(tiles)
    next(iter(loader))
    with monkeypatch.context() as patched:
        patched.setattr(BatchResizer, "__call__", interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(iter(loader))
    given = list(loader)
    assert len(given) == len(expected) - 1
    for batch, right in zip(given, expected[1:], strict=True):
        assert torch.equal(batch.images, right.images)
        assert torch.equal(batch.labels, right.labels)


def test_no_warnings(tiles: ImageDataset, recwarn: pytest.WarningsRecorder) -> None:
    for transform in (PadAndCrop(32), TRANSFORM, ResizeCenterCrop(32), ResizeCenterCrop(24, 28)):
        with DaliLoader(tiles, transform, 8, Share(training=True)) as loader:
            next(iter(loader))
    assert [str(warning.message) for warning in recwarn] == []


def test_impossible_requests_are_refused(tiles: ImageDataset) -> None:
    with pytest.raises(DataError, match="batch of 64 exceeds the 42 training images"):
        DaliLoader(tiles, TRANSFORM, 64, Share(training=True))
    with pytest.raises(DataError, match="threads and prefetch must be positive, got 0"):
        training(tiles, threads=0)
    if not torch.cuda.is_available():
        with pytest.raises(DataError, match="no CUDA GPU is available"):
            DaliLoader(tiles, TRANSFORM, 8, Share(training=True, device=torch.device("cuda")))
