"""Opening of loaders as the configuration says, for all tasks."""

import os
from pathlib import Path
from typing import TypeVar

from accelerate import Accelerator

from tst_fast.config.data import DataConfig
from tst_fast.errors import UserError
from tst_pipelines import (
    CachedLoader,
    DaliLoader,
    DetectionDataset,
    GpuDecoding,
    Loader,
    PairDataset,
    Share,
    fits_in_cache,
    leave_out,
    random_share,
)
from tst_pipelines.datasets.files import ImageFiles
from tst_pipelines.transforms import PlacingTransform, Transform

Placed = TypeVar("Placed", PairDataset, DetectionDataset)
"""Image files with label maps or boxes."""
MOST_THREADS = 16
"""The default of `--data.threads` at most: each thread has buffers of its own."""


def own_share(accelerator: Accelerator, training: bool, seed: int) -> Share:
    """The share of each epoch that this process loads."""
    return Share(training, seed, accelerator.process_index, accelerator.num_processes, accelerator.device)


def decoding_threads(data: DataConfig) -> int:
    """Threads that decode in a process: as configured, else its share of the cores, from 1 to `MOST_THREADS`."""
    if data.threads is not None:
        return data.threads
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))  # of this machine
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(1, cores // processes), MOST_THREADS)


def dali_loader(
    data: DataConfig, dataset: ImageFiles, transform: Transform | PlacingTransform, batch_size: int, share: Share
) -> DaliLoader:
    """The DALI loader, as the configuration says.

    Args:
        data: how to load.
        dataset: image files with their targets.
        transform: what to do to each image.
        batch_size: images of a batch in this process.
        share: of each epoch, this process's.
    """
    gpu = GpuDecoding(data.hw_decoder_load, data.preallocate_width_hint, data.preallocate_height_hint)
    how = {"threads": decoding_threads(data), "prefetch": data.prefetch}
    return DaliLoader(dataset, transform, batch_size, share, **how, gpu_decoding=gpu)


def open_loader(
    data: DataConfig,
    dataset: PairDataset | DetectionDataset,
    transform: PlacingTransform,
    batch_size: int,
    share: Share,
) -> Loader:
    """A loader of images with label maps or boxes, cached or by DALI, as `data.loader` says.

    Args:
        data: how to load.
        dataset: image files with label maps or boxes.
        transform: what to do to each image and its targets.
        batch_size: images of a batch in this process.
        share: of each epoch, this process's.
    """
    if data.loader == "cached" or (data.loader == "auto" and fits_in_cache(dataset, transform)):
        return CachedLoader(dataset, transform, batch_size, share, threads=decoding_threads(data))
    return dali_loader(data, dataset, transform, batch_size, share)


def root_folder(data: DataConfig) -> Path:
    """`--data.root`, of a data set that has one.

    Raises:
        UserError: there is no such folder.
    """
    assert data.root is not None  # `checks.check` demands it
    if not data.root.is_dir():
        raise UserError(f"--data.root {data.root}: there is no such folder")
    return data.root


def selected(data: DataConfig, train: Placed, test: Placed) -> tuple[Placed, Placed]:
    """The splits without the images to exclude; of the training images, the share that `data` asks for.

    Raises:
        tst_pipelines.DataError: see `leave_out`.
    """
    if data.exclude:
        assert data.root is not None  # `checks.check` demands it
        train, test = leave_out((train, test), data.root, data.exclude)
    if data.fraction < 1:
        train = train.select(random_share(len(train), data.fraction, data.fraction_seed))
    return train, test
