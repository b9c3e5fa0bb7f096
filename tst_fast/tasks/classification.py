"""Object recognition: one label an image."""

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn

from tst_fast.config.schema import DataConfig
from tst_fast.errors import UserError
from tst_fast.tasks.image_files import image_files
from tst_kernels import normalise
from tst_pipelines import (
    CACHE_LIMIT,
    ArrayDataset,
    CachedLoader,
    ClassifiedDataset,
    DaliLoader,
    Dataset,
    GpuDecoding,
    Loader,
    PadAndCrop,
    RandomResizedCrop,
    ResizeCenterCrop,
    Share,
    SyntheticDataset,
    SyntheticLoader,
    Transform,
    cached_bytes,
    cifar,
    digits,
    skip_to_next_epoch,
    stratified,
)


@dataclass(frozen=True)
class Splits:
    """Images to learn from and images to be judged by."""

    train: ClassifiedDataset
    test: ClassifiedDataset


def load_splits(config: DataConfig) -> Splits:
    """List the images that `config` names; of the training images, the share that it asks for.

    Raises:
        UserError, tst_pipelines.DataError: they are not there, or not laid out as named; see `image_files`.
    """
    splits = _whole_splits(config)
    if config.fraction == 1:
        return splits
    kept = stratified(splits.train.labels, config.fraction, config.fraction_seed)
    return Splits(splits.train.select(kept), splits.test)


def _whole_splits(config: DataConfig) -> Splits:
    if config.name == "digits":
        return Splits(*digits())
    if config.name == "synthetic":
        test_images = max(config.images // 10, 1)
        return Splits(
            SyntheticDataset(config.images, config.classes), SyntheticDataset(test_images, config.classes, seed=1)
        )
    if config.name in ("cifar10", "cifar100"):
        return Splits(*cifar(config.name, config.root, config.download))
    return Splits(*image_files(config))


def training_loader(config: DataConfig, dataset: Dataset, accelerator: Accelerator, seed: int) -> Loader:
    """Shuffled, cropped and flipped batches, each rank its share.

    Raises:
        UserError: the batch does not divide among the processes.
        tst_pipelines.DataError: the batch exceeds the data set.
    """
    processes = accelerator.num_processes
    if config.batch_size % processes:
        raise UserError(f"--data.batch_size {config.batch_size} does not divide among {processes} processes")
    if config.crop == "pad":
        transform = PadAndCrop(config.image_size, config.padding, config.flip)
    else:
        transform = RandomResizedCrop(config.image_size, flip=config.flip)
    return _loader(config, dataset, transform, accelerator, True, seed)


def evaluation_loader(config: DataConfig, dataset: Dataset, accelerator: Accelerator) -> Loader:
    """Each image once over all ranks, in order."""
    return _loader(config, dataset, ResizeCenterCrop(config.image_size, config.resize), accelerator, False, 0)


def _loader(
    config: DataConfig, dataset: Dataset, transform: Transform, accelerator: Accelerator, training: bool, seed: int
) -> Loader:
    batch_size = config.batch_size // accelerator.num_processes  # training_loader refused what does not divide
    share = Share(training, seed, accelerator.process_index, accelerator.num_processes, accelerator.device)
    if isinstance(dataset, SyntheticDataset):
        return SyntheticLoader(dataset, config.image_size, batch_size, share)
    if _cached(config, dataset, transform):
        return CachedLoader(dataset, transform, batch_size, share, threads=config.threads)
    gpu = GpuDecoding(config.hw_decoder_load, config.preallocate_width_hint, config.preallocate_height_hint)
    how = {"threads": config.threads, "prefetch": config.prefetch, "gpu_decoding": gpu}
    return DaliLoader(dataset, transform, batch_size, share, **how)


def _cached(config: DataConfig, dataset: Dataset, transform: Transform) -> bool:
    """Whether the images are kept in memory, as `config.loader` says."""
    in_memory = isinstance(dataset, ArrayDataset)
    if config.loader == "dali" and in_memory:
        raise UserError(f"--data.loader dali reads image files, and this {config.name} has none: use cached")
    if config.loader != "auto":
        return config.loader == "cached"
    return in_memory or (config.crop == "pad" and cached_bytes(dataset, transform) <= CACHE_LIMIT)


@torch.no_grad()
def accuracy(
    model: nn.Module, loader: Loader, config: DataConfig, accelerator: Accelerator, batches: int | None = None
) -> float:
    """Share of images whose highest logit is their label, over all ranks, 0..1.

    Args:
        model: unwrapped; it is put in eval mode and left so.
        loader: gives each image once.
        config: mean and std.
        accelerator: for autocast and the sum over ranks.
        batches: of each rank, at most; None: all.
    """
    model.eval()
    counts = torch.zeros(2, dtype=torch.float64, device=accelerator.device)  # right, all
    for batch in loader:
        with accelerator.autocast():
            logits = model(normalise(batch.images, config.mean, config.std))
        counts += torch.stack([(logits.argmax(1) == batch.labels).sum(), counts.new_tensor(len(batch))])
        if loader.step == batches:
            skip_to_next_epoch(loader)
            break
    right, every = accelerator.reduce(counts, "sum").tolist()
    return right / every
