"""Checks of segmentation's networks and data, before anything is trained."""

from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tst_fast.errors import Finding, UserError
from tst_fast.losses.pixels import IGNORED
from tst_fast.models.frozen import frozen
from tst_fast.tasks.absent_classes import absent
from tst_fast.tasks.task import Splits
from tst_pipelines import DataError, Dataset, PairDataset

SAMPLED = 500
"""Label maps of each split in which classes are looked for."""


def check_batch(network: nn.Module, size: tuple[int, int], images: int, role: str) -> None:
    """Refuse batches of one image for networks with batch norm after global pooling: it sees one value a channel.

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


def require_labels(splits: Splits) -> None:
    """Refuse a split in which every pixel is ignored. Label maps are read until one has a label: most often one.

    Raises:
        DataError: there is nothing to learn from, or nothing to evaluate on; or a label map cannot be read.
    """
    for kind, dataset in (("training", splits.train), ("test", splits.test)):
        assert isinstance(dataset, PairDataset)  # as of `load_splits`
        if all((dataset.label_map(index) == IGNORED).all() for index in range(len(dataset))):
            raise DataError(
                f"none of the {len(dataset):,} {kind} images has a pixel with a label: all are ignored, in "
                f"{dataset.label_path(0)} and the others",
                "ids",
                "ignored",
            )


def absent_from_training(splits: Splits) -> str:
    """Classes without a training pixel in a sample of the label maps, as `absent` tells them."""
    counts, seen = _pixels_by_class(splits.train, until_all=True)
    return absent("training pixel", splits.train.classes, counts, f" in {seen:,} label maps")


def absent_classes(splits: Splits) -> Finding:
    """Whether each class has pixels, as far as a sample of the label maps of both splits shows."""
    names = splits.train.classes
    (learned, seen), (tested, others) = map(_pixels_by_class, (splits.train, splits.test))
    share = learned / max(learned.sum(), 1)
    found = (
        f"{len(names)} classes; in training, {names[share.argmax()]} has {100 * share.max():.0f} % of the pixels and "
        f"{names[share.argmin()]} {100 * share.min():.2g} %"
    )
    if remedy := absent("training pixel", names, learned, f" in {seen:,} label maps"):
        return Finding("classes", "wrong", found, remedy)
    if (tested == 0).any():
        untested = ", ".join(names[label] for label in np.flatnonzero(tested == 0)[:5])
        remedy = f"no test pixel of {untested} in {others:,} label maps: its IoU does not count unless it is answered"
        return Finding("classes", "doubtful", found, remedy)
    return Finding("classes", "good", found)


def _pixels_by_class(dataset: Dataset, until_all: bool = False) -> tuple[np.ndarray, int]:
    """Pixels of each class, int64 [C], in up to `SAMPLED` label maps at equal distances; and how many these are.

    Args:
        dataset: images with label maps.
        until_all: whether to read no further once every class has been seen.
    """
    assert isinstance(dataset, PairDataset)  # as of `load_splits`
    positions = np.unique(np.linspace(0, len(dataset) - 1, min(SAMPLED, len(dataset))).astype(np.int64))
    counts = np.zeros(len(dataset.classes), np.int64)
    for position in positions.tolist():
        pixels = np.bincount(dataset.label_map(position).reshape(-1), minlength=IGNORED + 1)
        counts += pixels[: len(counts)]
        if until_all and counts.all():
            break
    return counts, len(positions)
