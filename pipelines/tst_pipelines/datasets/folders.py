"""Folders of class folders, whose list is cached until one of them changes."""

from __future__ import annotations

import errno
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tst_pipelines.datasets.cache import IndexCache, stamp
from tst_pipelines.datasets.files import IMAGE_EXTENSIONS, ImageDataset, reason, shortened
from tst_pipelines.datasets.names import Names
from tst_pipelines.protocol import DataError

logger = logging.getLogger(__name__)

_WORTH_KEEPING = 10_000  # images; the list of fewer is not cached


@dataclass
class Listing:
    """What a folder of class folders holds.

    Attributes:
        classes: names of the class folders, sorted.
        counts: images of each class.
        names: of the images, relative to the folder, class after class.
        ignored: other files, by extension.
        folders: every folder that was read, relative to the folder.
        stamps: the `stamp` of each of `folders` before it was read.
    """

    classes: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    names: Names = field(default_factory=lambda: Names(b""))
    ignored: Counter[str] = field(default_factory=Counter)
    folders: list[str] = field(default_factory=list)
    stamps: list[tuple[int, ...]] = field(default_factory=list)


class Folder(NamedTuple):
    """A folder that was read.

    Attributes:
        name: relative to the root.
        stamp: its `stamp` before it was read.
        files: names of the files in it, sorted.
    """

    name: str
    stamp: tuple[int, ...]
    files: list[str]


def image_folder(root: str | Path, classes: Sequence[str] | None = None) -> ImageDataset:
    """List a folder of class folders, as torchvision's ImageFolder does.

    Classes are the sorted names of the folders in `root`, images all files below them with a known extension, sorted.
    Hidden files and folders are ignored (torchvision takes them); other files too, with one warning. The list of a
    large folder is kept in the user's cache, and made anew when any folder in it has changed (see `IndexCache`).

    Args:
        root: the folder.
        classes: the training split's classes, for the labels of another split; a class that is absent here is warned
            of.

    Returns:
        The data set.

    Raises:
        DataError: no such folder, no class folder in it, a class folder without images or that cannot be read, or a
            class not in `classes`.
    """
    root = Path(root)
    listing = _recalled(root) or _listed(root)
    empty = [name for name, count in zip(listing.classes, listing.counts, strict=True) if not count]
    if empty:
        raise DataError(
            f"{root} has class folders without images: {shortened(empty)}; add images ({' '.join(IMAGE_EXTENSIONS)}) "
            "or remove these folders"
        )
    if listing.ignored:
        kinds = shortened([extension or "no extension" for extension, _ in listing.ignored.most_common()])
        logger.warning("%s: ignored %d files of formats that are not read (%s)", root, listing.ignored.total(), kinds)
    own = np.repeat(np.arange(len(listing.classes)), listing.counts)
    if classes is None or list(classes) == listing.classes:
        return ImageDataset(root, listing.names, own, tuple(listing.classes))
    labels = np.array(_positions(root, listing.classes, classes), np.int64)[own]
    order = np.argsort(labels, kind="stable")
    return ImageDataset(root, listing.names.select(order), labels[order], tuple(classes))


def names_below(root: Path) -> list[str]:
    """Names of all files in a folder and its subfolders, relative to it and sorted; see `folders_from`."""
    return [os.path.join(folder.name, name) for folder in folders_from(root, "") for name in folder.files]


def folders_from(root: Path, first: str) -> list[Folder]:
    """A folder and all its subfolders, sorted by name. Hidden files and folders are left out.

    Args:
        root: what names are relative to.
        first: the folder to begin with, relative to `root`.

    Raises:
        DataError: a folder cannot be read, or a file with an image's extension is a pipe, a socket or a device.
    """
    found, ahead = [], [first]
    try:
        while ahead:
            folder, subfolders = _read(root, ahead.pop())
            found.append(folder)
            ahead += subfolders
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {reason(error)}") from None
    return sorted(found)


def _read(root: Path, name: str) -> tuple[Folder, list[str]]:
    """A folder, and the names of its subfolders relative to `root`."""
    folder, subfolders = Folder(name, stamp(root / name), []), []
    with os.scandir(root / name) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                subfolders.append(os.path.join(name, entry.name))
            elif is_image(entry.name) and not entry.is_file() and os.path.exists(entry.path):
                # Reading a pipe might never end. A broken link is reported when it is loaded.
                raise OSError(errno.EINVAL, "not a regular file", entry.path)
            else:
                folder.files.append(entry.name)
    folder.files.sort()
    return folder, subfolders


def is_image(name: str) -> bool:
    """Whether a file's extension is that of an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS


def _listed(root: Path) -> Listing:
    """Read every folder, and cache the list if it is long."""
    index_cache = _index_cache(root)
    before, classes = _class_folders(root)
    listing, block = Listing(classes, folders=[""], stamps=[before]), bytearray()
    for name in listing.classes:
        count = 0
        for folder in folders_from(root, name):
            listing.folders.append(folder.name)
            listing.stamps.append(folder.stamp)
            images = [file for file in folder.files if is_image(file)]
            block += b"".join(os.fsencode(os.path.join(folder.name, file)) + b"\0" for file in images)
            count += len(images)
            listing.ignored.update(os.path.splitext(file)[1].lower() for file in folder.files if not is_image(file))
        listing.counts.append(count)
    listing.names = Names(bytes(block))
    if len(listing.names) >= _WORTH_KEEPING:
        index_cache.keep(_arrays(listing), np.array(listing.stamps))
    return listing


def _recalled(root: Path) -> Listing | None:
    """The cached list, if none of its folders has changed."""
    arrays = _index_cache(root).recall()
    if arrays is None:
        return None
    listing = _listing(arrays)
    try:
        unchanged = all(
            stamp(root / folder) == tuple(kept) for folder, kept in zip(listing.folders, listing.stamps, strict=True)
        )
    except OSError:  # a folder is gone
        return None
    return listing if unchanged else None


def _index_cache(root: Path) -> IndexCache:
    return IndexCache(f"folder list 1 {' '.join(IMAGE_EXTENSIONS)} {os.path.abspath(root)}")


def _arrays(listing: Listing) -> dict[str, np.ndarray]:
    text = {"classes": listing.classes, "names": listing.names, "folders": listing.folders, "kinds": listing.ignored}
    arrays = {name: np.frombuffer(Names.of(names).block, np.uint8) for name, names in text.items()}
    numbers = {"counts": listing.counts, "ignored": list(listing.ignored.values()), "stamps": listing.stamps}
    return arrays | {name: np.array(values, np.int64) for name, values in numbers.items()}


def _listing(arrays: dict[str, np.ndarray]) -> Listing:
    classes, names, folders, kinds = (
        Names(arrays[name].tobytes()) for name in ("classes", "names", "folders", "kinds")
    )
    return Listing(
        classes=list(classes),
        counts=arrays["counts"].tolist(),
        names=names,
        ignored=Counter(dict(zip(kinds, arrays["ignored"].tolist(), strict=True))),
        folders=list(folders),
        stamps=arrays["stamps"].tolist(),
    )


def _class_folders(root: Path) -> tuple[tuple[int, ...], list[str]]:
    """The stamp of `root` before it was read, and the sorted names of its folders."""
    try:
        before = stamp(root)
        with os.scandir(root) as entries:
            found = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError:
        raise DataError(f"no folder {root}: give a folder that holds one folder of images for each class") from None
    except NotADirectoryError:
        raise DataError(f"{root} is a file: give a folder that holds one folder of images for each class") from None
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be read: {reason(error)}") from None
    if not found:
        raise DataError(f"{root} has no class folders: put the images of each class in a folder of its own")
    return before, found


def _positions(root: Path, found: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The position of each class found among those of the training split."""
    places = {name: position for position, name in enumerate(classes)}
    unknown = [name for name in found if name not in places]
    if unknown:
        raise DataError(
            f"{root} has classes that the training split lacks: {shortened(unknown)}; remove these folders, "
            "or add them to the training split"
        )
    absent = sorted(set(classes) - set(found))
    if absent:
        logger.warning(
            "%s has no folder for %d of the %d classes: %s", root, len(absent), len(classes), shortened(absent)
        )
    return [places[name] for name in found]
