"""The loader's position, its state and what it leaves behind."""

from __future__ import annotations

import dataclasses
import gc
import io
import os
import sys
from itertools import islice

import numpy as np
import pytest
import torch

from pipelines import (
    Batch,
    DaliLoader,
    DataError,
    ImageDataset,
    Loader,
    PadAndCrop,
    RandomResizedCrop,
    ResizeCenterCrop,
)

TRANSFORM = RandomResizedCrop(24)


def training(tiles: ImageDataset, **options: object) -> DaliLoader:
    return DaliLoader(tiles, TRANSFORM, options.pop("batch_size", 8), training=True, **options)


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) and np.array_equal(a.indices, b.indices)
        for a, b in zip(first, second, strict=True)
    )


def test_batches_are_what_the_protocol_says(tiles: ImageDataset) -> None:
    with training(tiles) as loader:
        assert isinstance(loader, Loader)
        batches = list(loader)
    assert len(batches) == loader.steps_per_epoch == 5
    for batch in batches:
        assert batch.images.shape == (8, 24, 24, 3)
        assert batch.images.dtype == torch.uint8
        assert batch.images.is_contiguous()
        assert batch.labels.dtype == torch.int64
        assert batch.indices.dtype == np.int64
        assert batch.labels.tolist() == tiles.labels[batch.indices].tolist()


def test_a_batch_is_the_receivers_own(tiles: ImageDataset) -> None:
    with DaliLoader(tiles, ResizeCenterCrop(32), 7, training=False, prefetch=1) as loader:
        kept = [(batch, batch.images.clone()) for batch in loader]
    assert all(torch.equal(batch.images, copy) for batch, copy in kept)
    with training(tiles) as loader:
        assert all(batch.indices.flags.owndata for batch in loader)


def test_evaluation_covers_all_ranks_and_repeats(tiles: ImageDataset) -> None:
    few = dataclasses.replace(tiles, files=tiles.files[:11], labels=tiles.labels[:11])
    seen: list[int] = []
    for rank in range(3):
        with DaliLoader(few, ResizeCenterCrop(32), 3, training=False, rank=rank, world_size=3) as loader:
            first, again = list(loader), list(loader)
        assert same(first, again)
        assert len(first) == loader.steps_per_epoch
        seen += [index for batch in first for index in batch.indices.tolist()]
    assert sorted(seen) == list(range(11))


def test_a_rank_without_images_gives_nothing(tiles: ImageDataset) -> None:
    one = dataclasses.replace(tiles, files=tiles.files[:1], labels=tiles.labels[:1])
    loaders = [DaliLoader(one, ResizeCenterCrop(32), 4, training=False, rank=r, world_size=2) for r in range(2)]
    assert sorted(sum(len(batch) for batch in loader) for loader in loaders) == [0, 1]
    assert [loader.epoch for loader in loaders] == [1, 1]


def test_ranks_share_what_one_process_would_load(tiles: ImageDataset) -> None:
    whole = list(training(tiles, batch_size=8))
    halves = [list(training(tiles, batch_size=4, rank=rank, world_size=2)) for rank in range(2)]
    for batch, *shares in zip(whole, *halves, strict=True):
        assert torch.equal(batch.images, torch.cat([share.images for share in shares]))


@pytest.mark.parametrize("stop", [0, 2, 5, 7])
def test_a_resumed_run_gives_the_same_bits(tiles: ImageDataset, stop: int) -> None:
    def run(loader: DaliLoader, epochs: int) -> list[Batch]:
        return [batch for _ in range(epochs) for batch in loader]

    with training(tiles, seed=4) as loader:
        unstopped = run(loader, 3)
    with training(tiles, seed=4) as loader:
        epochs, steps = divmod(stop, 5)
        run(loader, epochs)
        list(islice(loader, steps))
        buffer = io.BytesIO()
        torch.save(loader.state_dict(), buffer)
    buffer.seek(0)
    with training(tiles, seed=4, threads=3, prefetch=1) as loader:
        next(iter(loader))  # what was read before the state is loaded leaves no trace
        loader.load_state_dict(torch.load(buffer, weights_only=True))
        assert same(run(loader, 3 - epochs), unstopped[stop:])


def test_the_position_counts_batches_given(tiles: ImageDataset) -> None:
    with training(tiles) as loader:
        for given, _ in enumerate(loader, start=1):
            assert (loader.state_dict()["epoch"], loader.state_dict()["step"]) == (0, given)
        assert (loader.epoch, loader.step) == (1, 0)
        for _ in loader:
            break
        assert (loader.epoch, loader.step) == (1, 1)
        assert len(list(loader)) == 4


def test_a_state_of_another_run_is_refused(tiles: ImageDataset) -> None:
    state = training(tiles, seed=1).state_dict()
    fewer = dataclasses.replace(tiles, files=tiles.files[:40], labels=tiles.labels[:40])
    others = {
        "seed 1, now 2": training(tiles, seed=2),
        "batch size 8, now 4": training(tiles, seed=1, batch_size=4),
        "world size 1, now 2": training(tiles, seed=1, world_size=2),
        f"data set '{tiles.fingerprint}', now '{fewer.fingerprint}'": training(fewer, seed=1),
        "training flag True, now False": DaliLoader(tiles, TRANSFORM, 8, training=False, seed=1),
    }
    for message, loader in others.items():
        with pytest.raises(DataError, match=message):
            loader.load_state_dict(state)
    with pytest.raises(DataError, match="no step 6 in epoch 0: an epoch has 5 steps"):
        training(tiles, seed=1).load_state_dict({**state, "step": 6})
    with pytest.raises(DataError, match="version None"):
        training(tiles).load_state_dict({})


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_no_threads_are_left(tiles: ImageDataset) -> None:
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    next(iter(training(tiles)))  # libraries start theirs
    gc.collect()
    before = threads()
    loader = training(tiles, threads=3)
    next(iter(loader))
    assert threads() > before
    loader.close()
    loader.close()
    assert threads() == before
    forgotten = training(tiles, threads=3)
    next(iter(forgotten))
    del forgotten
    assert threads() == before


def test_no_warnings(tiles: ImageDataset, recwarn: pytest.WarningsRecorder) -> None:
    for transform in (PadAndCrop(32), TRANSFORM, ResizeCenterCrop(32), ResizeCenterCrop(24, 28)):
        with DaliLoader(tiles, transform, 8, training=True) as loader:
            next(iter(loader))
    assert [str(warning.message) for warning in recwarn] == []


def test_impossible_requests_are_refused(tiles: ImageDataset) -> None:
    with pytest.raises(DataError, match="batch of 64 exceeds the 42 training images"):
        training(tiles, batch_size=64)
    with pytest.raises(DataError, match=r"threads \(0\)"):
        training(tiles, threads=0)
    if not torch.cuda.is_available():
        with pytest.raises(DataError, match="no CUDA GPU is available"):
            training(tiles, device=torch.device("cuda"))
