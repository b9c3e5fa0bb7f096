"""What every loader does: batches, shares, position, state, memory."""

from __future__ import annotations

import dataclasses
import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pipelines.scenery import make_pairs
from tst_pipelines import (
    ArrayDataset,
    Batch,
    CachedLoader,
    DaliLoader,
    DataError,
    Dataset,
    ImageDataset,
    Loader,
    PadAndCrop,
    PairDataset,
    RandomResizedCrop,
    ScaleCropFlip,
    Share,
    SyntheticDataset,
    SyntheticLoader,
    Transform,
)

SIZE = 24
IMAGES = 42  # of the tiles


@dataclasses.dataclass(frozen=True)
class Kind:
    """A loader of 42 images, and its data set."""

    dataset: Dataset
    build: Callable[..., Loader]

    def first(self, count: int) -> Dataset:
        """The first images of the data set."""
        return self.dataset.select(np.arange(count))

    def __call__(self, dataset: Dataset | None = None, batch_size: int = 8, threads: int = 0, **share) -> Loader:
        options = {"threads": threads} if threads else {}
        return self.build(dataset or self.dataset, batch_size, Share(**{"training": True} | share), **options)


@pytest.fixture(scope="module")
def pairs(photos: list[Image.Image], tmp_path_factory: pytest.TempPathFactory) -> PairDataset:
    return make_pairs(tmp_path_factory.mktemp("pairs"), photos, [(40, 30), (30, 50), (25, 25)] * (IMAGES // 3))


@pytest.fixture(params=["dali", "dali pairs", "cached files", "cached array", "cached pairs", "synthetic"])
def kind(request: pytest.FixtureRequest, tiles: ImageDataset, pairs: PairDataset) -> Kind:
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE, 3), np.uint8)
    array = ArrayDataset(pixels, np.arange(IMAGES) % 2, ("even", "odd"), "pixels")
    small, crop = PadAndCrop(SIZE), ScaleCropFlip((SIZE, SIZE))
    return {
        "dali": Kind(tiles, partial(_build, DaliLoader, RandomResizedCrop(SIZE))),
        "dali pairs": Kind(pairs, partial(_build, DaliLoader, crop)),
        "cached files": Kind(tiles, partial(_build, CachedLoader, small)),
        "cached array": Kind(array, partial(_build, CachedLoader, small)),
        "cached pairs": Kind(pairs, partial(_build, CachedLoader, crop)),
        "synthetic": Kind(SyntheticDataset(IMAGES, 2), partial(_build, SyntheticLoader, SIZE)),
    }[request.param]


def _build(loader: type, transform: Transform | int, dataset: Dataset, *how: object, **more: object) -> Loader:
    return loader(dataset, transform, *how, **more)


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) and np.array_equal(a.indices, b.indices)
        for a, b in zip(first, second, strict=True)
    )


def read(loader: Loader, epochs: int) -> list[Batch]:
    return [batch for _ in range(epochs) for batch in loader]


def test_batches_are_what_the_protocol_says(kind: Kind) -> None:
    assert isinstance(kind.dataset, Dataset)
    with kind() as loader:
        assert isinstance(loader, Loader)
        batches = list(loader)
    assert len(batches) == loader.steps_per_epoch == 5
    for batch in batches:
        assert batch.images.shape == (8, SIZE, SIZE, 3)
        assert batch.images.dtype == torch.uint8
        assert batch.images.is_contiguous()
        assert batch.indices.dtype == np.int64
        assert batch.indices.flags.owndata
        if isinstance(kind.dataset, PairDataset):
            assert (batch.labels.dtype, batch.labels.shape) == (torch.uint8, (8, SIZE, SIZE))
        else:
            assert batch.labels.dtype == torch.int64
            assert batch.labels.tolist() == kind.dataset.labels[batch.indices].tolist()


def test_a_batch_is_the_receivers_own(kind: Kind) -> None:
    """Neither does the loader write into a batch it gave, nor does writing into it change what follows."""
    with kind() as loader:
        expected = read(loader, 2)
    with kind() as loader:
        kept = next(iter(loader))
        for batch, untouched in zip(read(loader, 2), expected[1:], strict=True):
            assert torch.equal(batch.images, untouched.images)
            batch.images.zero_()
        for batch in loader:
            assert batch.images.any()
    assert torch.equal(kept.images, expected[0].images)


def test_evaluation_covers_all_ranks_and_repeats(kind: Kind) -> None:
    seen: list[int] = []
    for rank in range(3):
        with kind(kind.first(11), batch_size=3, training=False, rank=rank, world_size=3) as loader:
            first = list(loader)
            assert len(first) == loader.steps_per_epoch
        seen += [index for batch in first for index in batch.indices.tolist()]
    assert sorted(seen) == list(range(11))


def test_ranks_share_what_one_process_would_load(kind: Kind) -> None:
    whole = list(kind())
    halves = [list(kind(batch_size=4, rank=rank, world_size=2)) for rank in range(2)]
    for batch, *shares in zip(whole, *halves, strict=True):
        assert torch.equal(batch.images, torch.cat([share.images for share in shares]))
        assert torch.equal(batch.labels, torch.cat([share.labels for share in shares]))


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("stop", [0, 2, 5, 7])
def test_a_resumed_run_gives_the_same_bits(kind: Kind, stop: int, rank: int) -> None:
    share = {"batch_size": 4, "rank": rank, "world_size": 2, "seed": 4}
    with kind(**share) as loader:
        unstopped = read(loader, 3)
    with kind(**share) as loader:
        epochs, steps = divmod(stop, 5)
        read(loader, epochs)
        list(islice(loader, steps))
        buffer = io.BytesIO()
        torch.save(loader.state_dict(), buffer)
    buffer.seek(0)
    with kind(**share, **({} if isinstance(loader, SyntheticLoader) else {"threads": 3})) as loader:
        next(iter(loader))  # what was read before the state is loaded leaves no trace
        loader.load_state_dict(torch.load(buffer, weights_only=True))
        assert same(read(loader, 3 - epochs), unstopped[stop:])


def test_an_elastic_restart_goes_on_with_the_same_images(kind: Kind) -> None:
    with kind(seed=4) as loader:
        unstopped = read(loader, 2)
    with kind(seed=4) as loader:
        list(islice(loader, 2))
        state = loader.state_dict()
    resumed = []
    for rank in range(2):
        with kind(batch_size=4, rank=rank, world_size=2, seed=4) as loader:
            loader.load_state_dict(state, elastic=True)
            resumed.append(read(loader, 2))
    for batch, *shares in zip(unstopped[2:], *resumed, strict=True):
        assert torch.equal(batch.images, torch.cat([share.images for share in shares]))
        assert torch.equal(batch.labels, torch.cat([share.labels for share in shares]))


def test_the_position_counts_batches_given(kind: Kind) -> None:
    with kind() as loader:
        for given, _ in enumerate(loader, start=1):
            assert (loader.state_dict()["epoch"], loader.state_dict()["step"]) == (0, given)
        assert (loader.epoch, loader.step) == (1, 0)
        for _ in loader:
            break
        assert (loader.epoch, loader.step) == (1, 1)
        assert len(list(loader)) == 4


def test_a_state_of_another_run_is_refused(kind: Kind) -> None:
    state = kind(seed=1).state_dict()
    fewer = kind.first(40)
    others = {
        "seed 1, now 2": kind(seed=2),
        "batch size 8, now 4": kind(seed=1, batch_size=4),
        "world size 1, now 2": kind(seed=1, world_size=2),
        f"data set '{kind.dataset.fingerprint}', now '{fewer.fingerprint}'": kind(fewer, seed=1),
        "training flag True, now False": kind(training=False, seed=1),
    }
    for message, loader in others.items():
        with pytest.raises(DataError, match=message):
            loader.load_state_dict(state)
    with pytest.raises(DataError, match="step must be 0 to 5, those of an epoch, got 6 in epoch 0"):
        kind(seed=1).load_state_dict({**state, "step": 6})
    with pytest.raises(DataError, match="version None"):
        kind().load_state_dict({})


# glibc gives memory back at once, so that what grows is what leaks.
FRUGAL = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}

ENDURANCE = """
import gc, os, pathlib, sys, time
import numpy as np
from tst_pipelines import *

def resident():
    '''MiB, without the pages of files, which come and go as the machine needs memory.'''
    _, resident, shared, *_ = map(int, pathlib.Path("/proc/self/statm").read_text().split())
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE") / 2**20

def read(loader, epochs):
    for _ in range(epochs):
        for batch in loader:
            batch.images.sum()

files = image_folder(sys.argv[1])
zeros = ArrayDataset(np.zeros((400, 32, 32, 3), np.uint8), np.zeros(400, np.int64), ("a",), "zeros")
kinds = [
    lambda: DaliLoader(files, RandomResizedCrop(100), 8, Share(training=True)),
    lambda: CachedLoader(files, PadAndCrop(100), 8, Share(training=True)),
    lambda: CachedLoader(zeros, PadAndCrop(32), 100, Share(training=True)),
    lambda: SyntheticLoader(SyntheticDataset(400, 10), 64, 100, Share(training=True)),
]
for kind in kinds:
    with kind() as loader:
        read(loader, 10)
        first = resident()
        read(loader, 50)
        epochs = resident() - first
    sizes, threads = [], []
    for rebuild in range(25):
        loader = kind()
        read(loader, 1)
        next(iter(loader))  # left in the middle of an epoch
        if rebuild % 2:
            loader.close()  # or forgotten
        del loader
        gc.collect()
        if rebuild in (4, 24):  # where it is looked at
            time.sleep(0.5)  # threads that were told to end take a moment
        sizes.append(resident())
        threads.append(len(os.listdir("/proc/self/task")))
    print(epochs, sizes[-1] - sizes[4], threads[-1] - threads[4])
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_fifty_epochs_and_twenty_rebuilds_leave_nothing(tiles: ImageDataset) -> None:
    command = [sys.executable, "-c", ENDURANCE, str(tiles.root)]
    output = subprocess.run(command, env=os.environ | FRUGAL, capture_output=True, text=True, check=True).stdout
    for line in output.splitlines():
        epochs, rebuilds, threads = map(float, line.split())
        assert epochs < 1, "MiB grown over fifty epochs, in which a batch leaked in each would be 11 or more"
        assert rebuilds < 1, "MiB grown over twenty rebuilds, of which each keeps 1 or more"
        assert threads == 0
    assert len(output.splitlines()) == 4


def test_ctrl_c_ends_a_process_in_the_middle_of_an_epoch() -> None:
    program = """
    import signal
    import numpy as np
    from tst_pipelines import *
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell runs in the background
    data = ArrayDataset(np.zeros((2000, 32, 32, 3), np.uint8), np.zeros(2000, np.int64), ("a",), "zeros")
    loader = CachedLoader(data, PadAndCrop(32), 10, Share(training=True))
    next(iter(loader))
    print("loading", flush=True)
    while True:
        for batch in loader:
            pass
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout.readline() == "loading\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) != 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
