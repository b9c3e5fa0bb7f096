"""Folders of class folders, listed once and remembered while their folders do not change."""

from __future__ import annotations

import errno
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tst_pipelines.datasets.cache import IndexCache, stamp
from tst_pipelines.datasets.files import IMAGE_EXTENSIONS, ImageDataset, shortened
from tst_pipelines.datasets.names import Names
from tst_pipelines.protocol import DataError

logger = logging.getLogger(__name__)

_WORTH_KEEPING = 10_000  # images: fewer are listed in no time


@dataclass
class Listing:
    """What a folder of class folders holds.

    Attributes:
        classes: names of the class folders, sorted.
        counts: images of each class.
        names: of the images, relative to the folder, class after class.
        ignored: other files, by extension.
        folders: every folder that was looked into, relative to the folder.
        stamps: the `stamp` of each of `folders` before it was looked into.
    """

    classes: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    names: Names = field(default_factory=lambda: Names(b""))
    ignored: Counter[str] = field(default_factory=Counter)
    folders: list[str] = field(default_factory=list)
    stamps: list[tuple[int, ...]] = field(default_factory=list)


def image_folder(root: str | Path, classes: Sequence[str] | None = None) -> ImageDataset:
    """List a folder of class folders, as torchvision's ImageFolder does.

    Classes are the sorted names of the folders in `root`, images all files below them with a known extension, sorted.
    Hidden files and folders are passed over (torchvision takes them); other files too, with one warning. The list of a
    large folder is kept in the user's cache, and listed anew when any folder in it has changed (see `IndexCache`).

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


def files_below(root: Path, folder: str, visit=lambda folder, path: None) -> list[tuple[str, list[str]]]:
    """Every folder from `folder` on, in order, with the sorted names of its files; hidden ones are passed over.

    Args:
        root: what all names are relative to.
        folder: where to begin, relative to `root`.
        visit: called with each folder, relative and full, before it is looked into.

    Raises:
        OSError: a folder cannot be read.
    """
    found, ahead = [], [folder]
    while ahead:
        folder = ahead.pop()
        visit(folder, root / folder)
        files = []
        with os.scandir(root / folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    ahead.append(os.path.join(folder, entry.name))
                elif is_image(entry.name) and not entry.is_file() and os.path.exists(entry.path):
                    # A pipe, which could be waited for in vain; broken links are named when their turn comes.
                    raise OSError(errno.EINVAL, "not a regular file", entry.path)
                else:
                    files.append(entry.name)
        found.append((folder, sorted(files)))
    return sorted(found)


def is_image(name: str) -> bool:
    """Whether a file's extension is that of an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS


def _listed(root: Path) -> Listing:
    """Look into every folder, and keep what was seen if that took long."""
    index_cache = _index_cache(root)
    listing, block = Listing(), bytearray()

    def visit(folder: str, path: Path) -> None:
        listing.folders.append(folder)
        listing.stamps.append(stamp(path))

    listing.classes = _class_folders(root, visit)
    for name in listing.classes:
        count = 0
        try:
            folders = files_below(root, name, visit)
        except OSError as error:
            raise DataError(f"{error.filename} cannot be read: {(error.strerror or str(error)).lower()}") from None
        for folder, files in folders:
            images = [file for file in files if is_image(file)]
            block += b"".join(os.fsencode(os.path.join(folder, file)) + b"\0" for file in images)
            count += len(images)
            listing.ignored.update(os.path.splitext(file)[1].lower() for file in files if not is_image(file))
        listing.counts.append(count)
    listing.names = Names(bytes(block))
    if len(listing.names) >= _WORTH_KEEPING:
        index_cache.keep(_arrays(listing), np.array(listing.stamps))
    return listing


def _recalled(root: Path) -> Listing | None:
    """The list that was kept, if each of its folders is as it was."""
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


def _class_folders(root: Path, visit) -> list[str]:
    try:
        visit("", root)
        with os.scandir(root) as entries:
            found = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError:
        raise DataError(f"no folder {root}: give a folder that holds one folder of images for each class") from None
    except NotADirectoryError:
        raise DataError(f"{root} is a file: give a folder that holds one folder of images for each class") from None
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error.strerror}") from None
    if not found:
        raise DataError(f"{root} has no class folders: put the images of each class in a folder of its own")
    return found


def _positions(root: Path, found: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Where each of the classes found stands among those of the training split."""
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
