"""CIFAR-10 and CIFAR-100, in their published formats and as folders of images."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tst_pipelines.datasets.arrays import ArrayDataset
from tst_pipelines.datasets.files import ImageDataset, reason
from tst_pipelines.datasets.folders import image_folder
from tst_pipelines.protocol import DataError

_SITE = "https://www.cs.toronto.edu/~kriz/"
_TRAIN, _TEST = 50_000, 10_000  # images of the two splits
_SIDE = 32  # pixels


@dataclass(frozen=True)
class _Binary:
    """The binary form: records of one or two labels, the finest last, then the red, green and blue planes.

    Attributes:
        title: how the data set is called.
        torchvision: torchvision's class for the Python form.
        archive: the file as published.
        md5: its checksum, from the site.
        folder: what it unpacks to.
        train: files of the training split.
        test: file of the test split.
        names: file of the names of the classes, one a line.
        labels: bytes of labels in a record.
        classes: their number.
    """

    title: str
    torchvision: str
    archive: str
    md5: str
    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    labels: int
    classes: int


_PUBLISHED = {
    "cifar10": _Binary(
        title="CIFAR-10",
        torchvision="CIFAR10",
        archive="cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        folder="cifar-10-batches-bin",
        train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test="test_batch.bin",
        names="batches.meta.txt",
        labels=1,
        classes=10,
    ),
    "cifar100": _Binary(
        title="CIFAR-100",
        torchvision="CIFAR100",
        archive="cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
        folder="cifar-100-binary",
        train=("train.bin",),
        test="test.bin",
        names="fine_label_names.txt",
        labels=2,
        classes=100,
    ),
}

Splits = tuple[ImageDataset, ImageDataset] | tuple[ArrayDataset, ArrayDataset]


def cifar(name: str, root: str | Path, download: bool = False) -> Splits:
    """The training and the test split of CIFAR-10 or CIFAR-100.

    Taken from the first of these that `root` holds: image folders `train/CLASS/*` and `test/CLASS/*`; the Python form,
    packed or unpacked, read by torchvision, which compares every file's MD5; the binary form, packed (its MD5 is
    compared) or unpacked (the sizes are).

    Args:
        name: cifar10 or cifar100.
        root: the folder.
        download: whether to fetch the Python form into `root` if it holds none of these.

    Returns:
        Image files for the folders, arrays for the published forms.

    Raises:
        DataError: nothing is there, it is not what was published, or the download failed.
    """
    about, root = _PUBLISHED[name], Path(root)
    if (root / "train").is_dir() and (root / "test").is_dir():
        return _folders(about, root)
    source = _python_form(about)
    if (root / source.base_folder).is_dir() or (root / source.filename).is_file():
        return _python(about, root, download)
    if (root / about.folder).is_dir() or (root / about.archive).is_file():
        return _binary(about, root)
    if download:
        return _python(about, root, download)
    raise DataError(
        f"no {about.title} in {root}: put {source.filename} or {about.archive} from {_SITE} there, or images as "
        "train/CLASS/* and test/CLASS/*, or have it downloaded",
        "download",
    )


def _folders(about: _Binary, root: Path) -> tuple[ImageDataset, ImageDataset]:
    train = image_folder(root / "train")
    if len(train.classes) != about.classes:
        raise DataError(f"{root / 'train'} has {len(train.classes)} class folders: {about.title} has {about.classes}")
    return train, image_folder(root / "test", train.classes)


def _python_form(about: _Binary) -> type:
    import torchvision

    return getattr(torchvision.datasets, about.torchvision)


def _python(about: _Binary, root: Path, fetch: bool) -> tuple[ArrayDataset, ArrayDataset]:
    source = _python_form(about)
    packed = root / source.filename
    unpack = not fetch and not (root / source.base_folder).is_dir()
    if unpack:
        _require_md5(packed, source.tgz_md5)  # torchvision would fetch another one
    try:
        splits = [source(root, train=train, download=fetch or unpack) for train in (True, False)]
    except (OSError, RuntimeError) as error:
        by_hand = f"put {packed.name} from {source.url} at {packed}"
        if fetch:
            raise DataError(f"{about.title} could not be downloaded ({error}): {by_hand}") from None
        raise DataError(
            f"{root / source.base_folder} is not all of {about.title} as published: remove it and {by_hand}"
        ) from None
    train, test = (
        ArrayDataset(np.ascontiguousarray(split.data), np.array(split.targets, np.int64), tuple(split.classes), name)
        for split, name in zip(splits, _split_names(about), strict=True)
    )
    return train, test


def _binary(about: _Binary, root: Path) -> tuple[ArrayDataset, ArrayDataset]:
    files = _binary_files(about, root)
    classes = tuple(files[about.names].decode(errors="replace").split())
    if len(classes) != about.classes or "\ufffd" in "".join(classes):
        raise DataError(
            f"{root / about.folder} is not all of {about.title}: {about.names} should hold {about.classes} names of "
            f"classes; unpack {about.archive} from {_SITE} again"
        )
    splits = []
    for name, parts, count in zip(_split_names(about), (about.train, (about.test,)), (_TRAIN, _TEST), strict=True):
        content = b"".join(files[part] for part in parts)
        length = about.labels + 3 * _SIDE * _SIDE
        if len(content) != count * length:
            raise DataError(
                f"{root / about.folder} is not all of {about.title}: {', '.join(parts)} should hold {count * length:,} "
                f"bytes, not {len(content):,}; unpack {about.archive} from {_SITE} again"
            )
        records = np.frombuffer(content, np.uint8).reshape(count, length)
        planes = records[:, about.labels :].reshape(count, 3, _SIDE, _SIDE)
        labels = records[:, about.labels - 1].astype(np.int64)
        splits.append(ArrayDataset(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels, classes, name))
    train, test = splits
    return train, test


def _binary_files(about: _Binary, root: Path) -> dict[str, bytes]:
    """The content of the files by name, from the folder or else from the archive."""
    wanted = (*about.train, about.test, about.names)
    folder, archive = root / about.folder, root / about.archive
    if folder.is_dir():
        try:
            return {name: (folder / name).read_bytes() for name in wanted}
        except OSError as error:
            raise DataError(
                f"{error.filename} cannot be read ({reason(error)}): unpack {about.archive} from {_SITE} again"
            ) from None
    _require_md5(archive, about.md5)
    with tarfile.open(archive) as members:
        return {
            Path(member.name).name: file.read()
            for member in members
            if Path(member.name).name in wanted and (file := members.extractfile(member))
        }


def _require_md5(file: Path, md5: str) -> None:
    from torchvision.datasets.utils import calculate_md5

    if (found := calculate_md5(file)) != md5:
        raise DataError(f"{file} is not the file as published (MD5 {found}, not {md5}): fetch it from {_SITE} again")


def _split_names(about: _Binary) -> tuple[str, str]:
    return f"{about.title.lower()}/train", f"{about.title.lower()}/test"
