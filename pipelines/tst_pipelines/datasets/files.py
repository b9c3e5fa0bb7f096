"""Image files with labels: their names and their encoded bytes."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from tst_pipelines.datasets.labels import require_labels
from tst_pipelines.datasets.names import Names
from tst_pipelines.placement import Placement
from tst_pipelines.targets import Targets

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's from Python 3.11

PIXEL_LIMIT = 178_956_970
"""An image of more pixels is refused before it is decoded: the limit that Pillow has."""
# torchvision's IMG_EXTENSIONS; DALI decodes all of them.
IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


class ImageFiles(ABC):
    """A `Dataset` of images that are files under one folder.

    Attributes:
        root: the folder.
        files: names relative to `root`; kept packed, as `Names`.
        classes: names of the classes.
        targets_in_pixels: whether targets are label maps or boxes in the pixels of the file. Such images are not turned
            as EXIF says, and need transforms that targets can follow.
    """

    root: Path
    files: Sequence[str]
    classes: tuple[str, ...]
    targets_in_pixels: ClassVar[bool] = False

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits made of names, classes and targets; the same wherever the files are."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:  # pyright does not accept a cached property for a protocol's
        return fingerprint_of(self.classes, *self._content())

    @abstractmethod
    def _content(self) -> Sequence[bytes | memoryview | np.ndarray]:
        """What the fingerprint is made of, beside the classes: names and targets."""

    @abstractmethod
    def select(self, positions: np.ndarray) -> Self:
        """See `Dataset.select`."""

    @abstractmethod
    def targets(self, indices: np.ndarray, placement: Placement | None = None) -> Targets:
        """See `Dataset.targets`."""

    def __len__(self) -> int:
        return len(self.files)

    def path(self, index: int) -> str:
        """The name of image `index`: its full path."""
        return os.path.join(self.root, self.files[index])

    @property
    def location_count(self) -> int:
        """The number of files that hold the data set."""
        return len(self)

    def location(self, position: int) -> str:
        """One of these files."""
        return self.path(position)

    def read(self, index: int) -> np.ndarray:
        """The encoded image `index`: uint8 [bytes].

        Raises:
            OSError: it cannot be read.
        """
        return read_bytes(self.path(index))


@dataclass(frozen=True, eq=False)
class ImageDataset(ImageFiles):
    """Labelled image files under one folder.

    Attributes:
        root: the folder.
        files: names relative to `root`; kept packed, as `Names`.
        labels: int64 [len(files)], positions in `classes`.
        classes: names of the classes.

    Raises:
        DataError: labels of another type or number, or outside `classes`.
    """

    root: Path
    files: Sequence[str]
    labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        require_labels(self.labels, len(self.files), self.classes, str(self.root))
        object.__setattr__(self, "files", Names.of(self.files))

    def select(self, positions: np.ndarray) -> Self:
        """The images at these positions, of the same classes."""
        files = Names.of(self.files).select(positions)
        return dataclasses.replace(self, files=files, labels=self.labels[positions])

    def targets(self, indices: np.ndarray, placement: Placement | None = None) -> Targets:
        """See `Dataset.targets`."""
        return Targets(torch.from_numpy(self.labels[indices]))

    def _content(self) -> Sequence[bytes | memoryview | np.ndarray]:
        return memoryview(Names.of(self.files).block)[:-1], self.labels.astype("<i8")


def fingerprint_of(classes: Sequence[str], *content: bytes | memoryview | np.ndarray) -> str:
    """16 hexadecimal digits made of the names of classes and the bytes of contiguous arrays."""
    digest = hashlib.sha256("\0".join(classes).encode(errors="surrogateescape"))
    for part in content:
        digest.update(part)
    return digest.hexdigest()[:16]


def read_bytes(path: str) -> np.ndarray:
    """The content of a regular file: uint8 [bytes].

    Raises:
        OSError: it cannot be read, or is a pipe, a socket or a device, which might block forever.
    """
    with open_regular(path) as file:
        return np.frombuffer(file.read(), np.uint8)


def open_regular(path: str | Path) -> FileIO:
    """Open a regular file for reading.

    Raises:
        OSError: it cannot be read, or is a pipe, a socket or a device, which might block forever.
    """
    return FileIO(path, opener=_regular)  # pyright: ignore[reportArgumentType]  # any path, as `open` takes it


def _regular(path: str, flags: int) -> int:
    file = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return file


def is_inside(name: str, root: str) -> bool:
    """Whether a file's name, relative to the folder `root`, stays below it; links are not followed."""
    if not os.path.isabs(name) and ".." not in name:
        return True
    root = os.path.abspath(root)
    return os.path.abspath(os.path.join(root, name)).startswith(os.path.join(root, ""))


def reason(error: OSError) -> str:
    """What the operating system says of its error, for a message."""
    return (error.strerror or str(error)).lower()


def shown(name: str) -> str:
    """A name for a message, on one line, with unprintable characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in name)


def shortened(names: Sequence[str], limit: int = 5) -> str:
    """The first few of many names, for a message."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(shown, names[:limit])) + more
