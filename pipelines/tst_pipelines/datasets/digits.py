"""Data sets known by name: the default, scikit-learn's handwritten digits, is written once into the user's cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tst_pipelines.datasets.cache import user_cache, write_png
from tst_pipelines.datasets.files import ImageDataset, reason
from tst_pipelines.datasets.folders import image_folder
from tst_pipelines.protocol import DataError

_TRAIN, _TEST = 400, 1397  # images of the two splits
_SIDE = 32  # pixels


def digits(cache: str | Path | None = None) -> tuple[ImageDataset, ImageDataset]:
    """1,797 real handwritten digits of scikit-learn's `load_digits`, 32x32 RGB, white on black, in ten classes.

    Written as `digits/{train,test}/{0..9}/NNNN.png` on first use. Each file is put in its place whole, and always with
    the same content, so a killed run or several processes at once do no harm: an incomplete cache is written again.

    Args:
        cache: folder that holds `digits`; by default $TST_FAST_CACHE, else $XDG_CACHE_HOME/tst-fast, else
            ~/.cache/tst-fast.

    Returns:
        The training split (400 images, 40 of each class: few-shot) and the test split (the other 1,397).

    Raises:
        DataError: the cache cannot be written, holds other files, or scikit-learn is missing.
    """
    root = (Path(cache) if cache is not None else user_cache()) / "digits"
    splits = _read(root)
    if splits is None:
        try:
            _write(root)
        except OSError as error:
            raise DataError(
                f"the digits cannot be written to {root} ({reason(error)}): set TST_FAST_CACHE to a folder that can be"
            ) from None
        splits = _read(root)
    if splits is None:
        raise DataError(f"{root} holds images that are not the digits: remove this folder, and it is written again")
    return splits


def _read(root: Path) -> tuple[ImageDataset, ImageDataset] | None:
    """Both splits, or None if the cache is not complete."""
    try:
        train = image_folder(root / "train")
        test = image_folder(root / "test", train.classes)
    except DataError:
        return None
    return (train, test) if (len(train), len(test)) == (_TRAIN, _TEST) else None


def _write(root: Path) -> None:
    """Write every file, also over one that is there: its content is the same."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.utils import Bunch
    except ImportError as error:
        raise DataError(f"the digits need {error.name}: pip install scikit-learn") from None
    source = load_digits()
    assert isinstance(source, Bunch)  # unless asked for another form
    train = _few_of_each(source.target, _TRAIN // 10)
    for index, (image, label) in enumerate(zip(source.images, source.target, strict=True)):
        path = root / ("train" if train[index] else "test") / str(label) / f"{index:04d}.png"
        grey = Image.fromarray(np.rint(image * (255 / 16)).astype(np.uint8))
        write_png(grey.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR).convert("RGB"), path)


def _few_of_each(labels: np.ndarray, count: int) -> np.ndarray:
    """Mark, bool [N], the first `count` images of each class in a fixed random order."""
    order = np.random.RandomState(0).permutation(len(labels))  # RandomState: its stream never changes
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        chosen[order[labels[order] == label][:count]] = True
    return chosen
