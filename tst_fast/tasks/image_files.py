"""The image files that the configuration names: class folders, lists or shards, without those to leave out."""

from pathlib import Path

from tst_fast.config.data import DataConfig
from tst_fast.errors import UserError
from tst_fast.tasks.loading import root_folder
from tst_pipelines import ImageDataset, image_folder, image_list, image_shards, leave_out


def image_files(config: DataConfig) -> tuple[ImageDataset, ImageDataset]:
    """The training and the test split.

    Raises:
        UserError: the folder, or a split's folder in it, is missing or not laid out like that.
        tst_pipelines.DataError: a split is empty, malformed, or does not match the training split's classes.
    """
    root = root_folder(config)
    read = {"list": _lists, "webdataset": _shards, "imagenet": _imagenet, "folder": _folders}[config.name]
    splits = read(config, root)
    if config.exclude:
        train, test = leave_out(splits, root, config.exclude)
        return train, test
    return splits


def _lists(config: DataConfig, root: Path) -> tuple[ImageDataset, ImageDataset]:
    assert config.train is not None and config.test is not None  # `checks.check` demands both
    train = image_list(config.train, root, outside=config.outside_root)
    return train, image_list(config.test, root, train.classes, outside=config.outside_root)


def _shards(config: DataConfig, root: Path) -> tuple[ImageDataset, ImageDataset]:
    train = image_shards(root, config.train or "train/*.tar")
    return train, image_shards(root, config.test or "val/*.tar", train.classes)


def _folders(config: DataConfig, root: Path) -> tuple[ImageDataset, ImageDataset]:
    test_folder = next((root / name for name in ("val", "test") if (root / name).is_dir()), None)
    if test_folder is None or not (root / "train").is_dir():
        raise UserError(f"--data.root {root} must hold the folders train and val (or test), each with class folders")
    train = image_folder(root / "train")
    return train, image_folder(test_folder, train.classes)


def _imagenet(config: DataConfig, root: Path) -> tuple[ImageDataset, ImageDataset]:
    missing = [name for name in ("train", "val") if not (root / name).is_dir()]
    if missing:
        raise UserError(
            f"--data.root {root} has no folder {' and no folder '.join(missing)}: give the folder that holds "
            "train/SYNSET/*.JPEG and val/SYNSET/*.JPEG (in Kaggle's archive, ILSVRC/Data/CLS-LOC)"
        )
    train = image_folder(root / "train")
    if config.test:
        return train, image_list(config.test, root / "val", train.classes, outside=config.outside_root)
    if not any(entry.is_dir() for entry in (root / "val").iterdir()):
        raise UserError(
            f"{root / 'val'} has no class folders: sort its images into folders named as those of {root / 'train'}, or "
            "give --data.test FILE with a line `FILE LABEL` for each (the label is the synset, or its number from 0 in "
            "sorted order, as in Caffe's val.txt)"
        )
    return train, image_folder(root / "val", train.classes)
