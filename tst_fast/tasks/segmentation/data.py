"""Images with label maps as the configuration names them."""

from tst_fast.config.data import DataConfig
from tst_fast.config.imports import is_import_path
from tst_fast.tasks.loading import root_folder, selected
from tst_fast.tasks.own_code import own_splits
from tst_fast.tasks.task import Splits
from tst_pipelines import (
    Inspection,
    PairDataset,
    cityscapes,
    image_pairs,
    inspect_pairs,
    scenes,
)


def load_splits(data: DataConfig) -> Splits:
    """List the pairs that `data` names; of the training pairs, the share that it asks for.

    Raises:
        UserError, tst_pipelines.DataError: they are not there, or not laid out as named.
    """
    return Splits(*selected(data, *_whole_splits(data)))


def inspection(data: DataConfig) -> Inspection:
    """What can be wrong with the files that `data` names: see `inspect_pairs`.

    Raises:
        UserError, tst_pipelines.DataError: they are not there.
    """
    splits = _whole_splits(data, complete=False)
    return inspect_pairs(data.root or splits[0].root, splits)


def _whole_splits(data: DataConfig, complete: bool = True) -> tuple[PairDataset, PairDataset]:
    """`complete` as for `image_pairs`."""
    if data.name == "scenes":
        return scenes()
    if is_import_path(data.name):
        return own_splits(data, (PairDataset,))
    root = root_folder(data)
    if data.name == "cityscapes":
        train, test = (cityscapes(root, split, data.labels, complete) for split in ("train", "val"))
        return train, test
    folders = (
        (data.train or "train/images", data.train_labels or "train/labels"),
        (data.test or "test/images", data.test_labels or "test/labels"),
    )
    about = {name: getattr(data, name) for name in ("ids", "ignored", "image_suffix", "label_suffix")}
    about["complete"] = complete
    train, test = (image_pairs(root / images, root / maps, data.class_names, **about) for images, maps in folders)
    return train, test
