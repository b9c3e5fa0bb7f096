"""Images with boxes as the configuration names them."""

from pathlib import Path

from tst_fast.config.data import DataConfig
from tst_fast.config.imports import is_import_path
from tst_fast.tasks.loading import root_folder, selected
from tst_fast.tasks.own_code import own_splits
from tst_fast.tasks.task import Splits
from tst_pipelines import (
    DataError,
    DetectionDataset,
    Inspection,
    coco_detection,
    inspect_boxes,
    scene_boxes,
)


def load_splits(data: DataConfig) -> Splits:
    """Read the boxes that `data` names; of the training images, the share that it asks for.

    Raises:
        UserError, tst_pipelines.DataError: they are not there, not laid out as named, or there is no box in a split.
    """
    train, test = selected(data, *_whole_splits(data))
    for split, dataset, flag in (("training", train, "train_labels"), ("test", test, "test_labels")):
        if not (~dataset.crowd).any():
            raise DataError(f"no {split} image has a box: give annotations with boxes", flag)
    return Splits(train, test)


def _whole_splits(data: DataConfig) -> tuple[DetectionDataset, DetectionDataset]:
    if data.name == "scenes":
        return scene_boxes()
    if is_import_path(data.name):
        return own_splits(data, (DetectionDataset,))
    root = root_folder(data)
    learned, tested = _annotations(data)
    train = coco_detection(root / (data.train or "train2017"), learned, outside=data.outside_root)
    return train, coco_detection(root / (data.test or "val2017"), tested, train.classes, outside=data.outside_root)


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
