"""Images with label maps as the configuration names them, and what loads them."""

from pathlib import Path

from tst_fast.config.data import DataConfig
from tst_fast.errors import UserError
from tst_fast.tasks.loading import dali_loader
from tst_fast.tasks.task import Splits
from tst_pipelines import (
    CACHE_LIMIT,
    CachedLoader,
    Dataset,
    Inspection,
    Loader,
    PairDataset,
    Share,
    cached_bytes,
    cityscapes,
    image_pairs,
    inspect_pairs,
    leave_out,
    random_share,
    scenes,
)
from tst_pipelines.transforms import PlacingTransform


def load_splits(data: DataConfig) -> Splits:
    """List the pairs that `data` names; of the training pairs, the share that it asks for.

    Raises:
        UserError, tst_pipelines.DataError: they are not there, or not laid out as named.
    """
    train, test = _whole_splits(data)
    if data.exclude:
        assert data.root is not None  # `checks.check` demands it
        train, test = leave_out((train, test), Path(data.root), data.exclude)
    if data.fraction < 1:
        train = train.select(random_share(len(train), data.fraction, data.fraction_seed))
    return Splits(train, test)


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
    assert data.root is not None  # `checks.check` demands it
    root = Path(data.root)
    if not root.is_dir():
        raise UserError(f"--data.root {root}: there is no such folder")
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


def open_loader(
    data: DataConfig, dataset: Dataset, transform: PlacingTransform, batch_size: int, share: Share
) -> Loader:
    """What loads pairs, cached or by DALI, as `data.loader` says.

    Args:
        data: of the configuration.
        dataset: the pairs.
        transform: what becomes of an image and its label map.
        batch_size: of this process.
        share: what this process loads.
    """
    assert isinstance(dataset, PairDataset)  # as of `load_splits`
    if data.loader == "cached" or (data.loader == "auto" and cached_bytes(dataset, transform) <= CACHE_LIMIT):
        return CachedLoader(dataset, transform, batch_size, share, threads=data.threads)
    return dali_loader(data, dataset, transform, batch_size, share)
