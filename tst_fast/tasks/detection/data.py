"""Images with boxes as the configuration names them, and what loads them."""

from pathlib import Path

from tst_fast.config.data import DataConfig
from tst_fast.errors import UserError
from tst_fast.tasks.loading import dali_loader
from tst_fast.tasks.task import Splits
from tst_pipelines import (
    CACHE_LIMIT,
    CachedLoader,
    DataError,
    Dataset,
    DetectionDataset,
    Inspection,
    Loader,
    Share,
    cached_bytes,
    coco_detection,
    inspect_boxes,
    leave_out,
    random_share,
    scene_boxes,
)
from tst_pipelines.transforms import PlacingTransform


def load_splits(data: DataConfig) -> Splits:
    """Read the boxes that `data` names; of the training images, the share that it asks for.

    Raises:
        UserError, tst_pipelines.DataError: they are not there, not laid out as named, or there is no box in a split.
    """
    train, test = _whole_splits(data)
    if data.exclude:
        assert data.root is not None  # `checks.check` demands it
        train, test = leave_out((train, test), Path(data.root), data.exclude)
    if data.fraction < 1:
        train = train.select(random_share(len(train), data.fraction, data.fraction_seed))
    for split, dataset, flag in (("training", train, "train_labels"), ("test", test, "test_labels")):
        if not (~dataset.crowd).any():
            raise DataError(f"no {split} image has a box: there is nothing to find", flag)
    return Splits(train, test)


def _whole_splits(data: DataConfig) -> tuple[DetectionDataset, DetectionDataset]:
    if data.name == "scenes":
        return scene_boxes()
    assert data.root is not None  # `checks.check` demands it
    root = Path(data.root)
    if not root.is_dir():
        raise UserError(f"--data.root {root}: there is no such folder")
    learned, tested = _annotations(data)
    train = coco_detection(root / (data.train or "train2017"), learned)
    return train, coco_detection(root / (data.test or "val2017"), tested, train.classes)


def _annotations(data: DataConfig) -> list[Path]:
    """The files of annotations, of training and of test; none of a data set that is made here."""
    if data.root is None:
        return []
    files = data.train_labels, data.test_labels
    return [
        Path(data.root) / (file or f"annotations/instances_{split}2017.json")
        for file, split in zip(files, ("train", "val"), strict=True)
    ]


def inspection(data: DataConfig) -> Inspection:
    """What can be wrong with the files that `data` names: see `inspect_boxes`.

    Raises:
        UserError, tst_pipelines.DataError: they are not there.
    """
    splits = _whole_splits(data)
    return inspect_boxes(data.root or splits[0].root, splits, _annotations(data))


def open_loader(
    data: DataConfig, dataset: Dataset, transform: PlacingTransform, batch_size: int, share: Share
) -> Loader:
    """What loads images with boxes, cached or by DALI, as `data.loader` says.

    Args:
        data: of the configuration.
        dataset: the images.
        transform: what becomes of an image and its boxes.
        batch_size: of this process.
        share: what this process loads.
    """
    assert isinstance(dataset, DetectionDataset)  # as of `load_splits`
    if data.loader == "cached" or (data.loader == "auto" and cached_bytes(dataset, transform) <= CACHE_LIMIT):
        return CachedLoader(dataset, transform, batch_size, share, threads=data.threads)
    return dali_loader(data, dataset, transform, batch_size, share)
