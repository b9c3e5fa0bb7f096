"""What a segmentation network cannot be trained on, refused before anything is; and what the data lacks."""

from collections.abc import Callable
from contextlib import closing
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tst_fast.errors import Finding, State, UserError
from tst_fast.losses.pixels import IGNORED
from tst_fast.models.frozen import frozen
from tst_fast.tasks.task import Splits
from tst_pipelines import Dataset, Loader, PairDataset

SAMPLED = 500
"""Label maps of each split in which classes are looked for."""


def check_batch(network: nn.Module, size: tuple[int, int], images: int, role: str) -> None:
    """Refuse a single image where batch norm has one value for each channel: after pooling over the whole image.

    Args:
        network: images [B, 3, H, W] to anything, on its device.
        size: height and width of the training images, in pixels.
        images: that one forward pass in training sees, of one process, or of all if batch norm is synchronised.
        role: what the network is to the user: "teacher" or "student".

    Raises:
        UserError: with the layer and the remedies.
    """
    if images > 1:
        return
    pooled: list[str] = []

    def note(name: str, layer: nn.Module, inputs: tuple) -> None:
        if inputs[0].shape[2:].numel() == 1:
            pooled.append(name)

    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, _BatchNorm)}
    handles = [layer.register_forward_pre_hook(partial(note, name)) for name, layer in layers.items()]
    with frozen(network), torch.no_grad():
        network(torch.zeros(1, 3, *size, device=next(network.parameters()).device))
    for handle in handles:
        handle.remove()
    if pooled:
        raise UserError(
            f"--{role}.name has batch norm after pooling over the whole image ({pooled[0]}), which cannot normalise "
            "the one value of a single image: give each process two images or more at a time (--data.batch_size, "
            f"--{role}_training.accumulate)"
        )


def check_one_size(dataset: Dataset, images: int) -> None:
    """Refuse batches of test images of several sizes, before anything is trained; by the headers of the label maps.

    Args:
        dataset: the test images.
        images: in a batch.

    Raises:
        UserError: with the names of two images and their sizes.
    """
    if images == 1 or not isinstance(dataset, PairDataset) or not len(dataset):
        return
    first = dataset.label_shape(0)
    other = next((i for i in range(1, len(dataset)) if dataset.label_shape(i) != first), None)
    if other is not None:
        (height, width), (rows, columns) = first, dataset.label_shape(other)
        raise UserError(
            f"--data.test_batch_size is {images}, but test images are of several sizes, {dataset.path(0)} "
            f"({width} x {height}) and {dataset.path(other)} ({columns} x {rows}): set it to 1"
        )


def absent_classes(splits: Splits, open_loader: Callable[[Dataset], Loader]) -> Finding:
    """Whether each class has pixels, as far as a sample of the label maps of both splits shows.

    Args:
        splits: the images.
        open_loader: of whole images and label maps.
    """
    names = splits.train.classes
    counts = [_pixels_by_class(dataset, open_loader) for dataset in (splits.train, splits.test)]
    share = counts[0] / max(counts[0].sum(), 1)
    found = (
        f"{len(names)} classes; in training, {names[share.argmax()]} has {100 * share.max():.0f} % of the pixels and "
        f"{names[share.argmin()]} {100 * share.min():.2g} %"
    )
    of_splits: list[tuple[str, np.ndarray, State, str]] = [
        ("training", counts[0], "wrong", "add some, or leave the class out"),
        ("test", counts[1], "doubtful", "its IoU does not count unless it is answered"),
    ]
    for kind, count, state, remedy in of_splits:
        if (count == 0).any():
            absent = ", ".join(names[label] for label in np.flatnonzero(count == 0)[:5])
            return Finding("classes", state, found, f"no pixel of {absent} in {SAMPLED} {kind} label maps: {remedy}")
    return Finding("classes", "good", found)


def _pixels_by_class(dataset: Dataset, open_loader: Callable[[Dataset], Loader]) -> np.ndarray:
    """Pixels of each class in label maps at equal distances: int64 [C]."""
    positions = np.unique(np.linspace(0, len(dataset) - 1, min(SAMPLED, len(dataset))).astype(np.int64))
    counts = torch.zeros(IGNORED + 1, dtype=torch.int64)
    with closing(open_loader(dataset.select(positions))) as loader:
        for batch in loader:
            counts += torch.bincount(batch.labels.flatten(), minlength=len(counts)).cpu()
    return counts[: len(dataset.classes)].numpy()
