"""WebDataset shards: tar files whose members are read in any order, through an index made once.

DALI's own reader of shards reads them from front to back and shuffles within a buffer: its order depends on the
number of ranks and on what was read before, so it can neither give a true permutation nor resume from a position. With
the place of each member known, shards are read like files, by the same sampler, with the same guarantees.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
import reprlib
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from tst_pipelines.datasets.cache import IndexCache, stamp
from tst_pipelines.datasets.files import IMAGE_EXTENSIONS, ImageDataset, open_regular, reason, shortened
from tst_pipelines.datasets.label_words import LabelWords
from tst_pipelines.datasets.names import Names, is_name
from tst_pipelines.protocol import DataError

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's from Python 3.11

logger = logging.getLogger(__name__)

_FORM = 1  # of the index in the cache


@dataclass(frozen=True, eq=False)
class ShardDataset(ImageDataset):
    """Labelled images in tar files under one folder.

    Attributes:
        root, labels, classes: as `ImageDataset`.
        files: SHARD/MEMBER for each image, the shard's name relative to `root`.
        shards: full names of the tar files.
        places: int64 [len(files), 3]: position in `shards`, offset and size in bytes.
    """

    shards: tuple[str, ...]
    places: np.ndarray

    @property
    def location_count(self) -> int:
        """The shards."""
        return len(self.shards)

    def location(self, position: int) -> str:
        """A shard."""
        return self.shards[position]

    def read(self, index: int) -> np.ndarray:
        """See `ImageDataset.read`. No file stays open: a data set may have more shards than a process may open."""
        shard, offset, size = self.places[index].tolist()
        encoded = np.empty(size, np.uint8)
        with open(self.shards[shard], "rb", buffering=0) as file:
            if os.preadv(file.fileno(), [encoded], offset) < size:
                raise OSError(errno.EIO, "the shard is shorter than when it was indexed", self.shards[shard])
        return encoded

    def read_ahead(self, indices: np.ndarray) -> None:
        """Have the kernel prefetch these images, without waiting; errors are reported by `read`."""
        for shard, offset, size in self.places[indices].tolist():
            try:
                with open(self.shards[shard], "rb", buffering=0) as file:
                    os.posix_fadvise(file.fileno(), offset, size, os.POSIX_FADV_WILLNEED)
            except OSError:
                return

    def select(self, positions: np.ndarray) -> Self:
        """See `ImageDataset.select`."""
        return dataclasses.replace(super().select(positions), places=self.places[positions])


@dataclass(frozen=True)
class ShardIndex:
    """What one shard holds.

    Attributes:
        names: of the members that are images.
        places: int64 [len(names), 2]: offset and size in bytes.
        words: the different labels.
        codes: int64 [len(names)], the position of each image's label in `words`.
    """

    names: Names
    places: np.ndarray
    words: Names
    codes: np.ndarray


def image_shards(root: str | Path, pattern: str, classes: Sequence[str] | None = None) -> ShardDataset:
    """Index the WebDataset shards below a folder.

    A sample is the members in a row whose names are equal up to the first dot of the last part: one image, and its
    label as the text of a member `.cls`, or as `label` or `cls` in a member `.json`. The index of each shard is kept in
    the user's cache, and made anew when the shard has changed (see `IndexCache`).

    Args:
        root: the folder.
        pattern: of the shards' names relative to it, such as `train/*.tar` (`*`, `?` and `[...]`).
        classes: the training split's classes, for the labels of another split (see `LabelWords.number`).

    Returns:
        The data set: shards sorted by name, images in the order of their shard.

    Raises:
        DataError: no shard, one that is compressed, damaged or cannot be read, or a sample without its image or label.
    """
    root = Path(root)
    try:
        shards = sorted(str(path) for path in root.glob(pattern) if path.is_file())
    except (NotImplementedError, ValueError):  # an absolute pattern, or an empty one
        raise DataError(f"{pattern!r} is no pattern of names relative to {root}, such as train/*.tar") from None
    if not shards:
        raise DataError(f"{root} has no shards {pattern}: give a pattern of tar files, such as train-*.tar")
    words, block, places = LabelWords(), bytearray(), []
    for number, shard in enumerate(shards):
        index = shard_index(shard)
        words.extend(index.words, index.codes, shard)
        folder = os.fsencode(os.path.join(os.path.relpath(shard, root), ""))
        block += folder + index.names.block[:-1].replace(b"\0", b"\0" + folder) + b"\0"
        places.append(np.column_stack([np.full(len(index.names), number), index.places]))
    labels, classes = words.number(classes)
    return ShardDataset(root, Names(bytes(block)), labels, classes, tuple(shards), np.concatenate(places))


def shard_index(shard: str) -> ShardIndex:
    """The index of one shard, from the cache if the shard has not changed.

    Raises:
        DataError: see `image_shards`.
    """
    index_cache = IndexCache(f"shard {_FORM} {' '.join(IMAGE_EXTENSIONS)} {os.path.abspath(shard)}")
    try:
        stamps = np.array([stamp(shard)])
        kept = index_cache.recall()
        if kept and np.array_equal(kept["stamps"], stamps):
            names, words = Names(kept["names"].tobytes()), Names(kept["words"].tobytes())
            return ShardIndex(names, kept["places"], words, kept["codes"])
        index = _scan(shard)
    except OSError as error:
        raise DataError(f"{shard}: {reason(error)}") from None
    index_cache.keep(_arrays(index) | {"stamps": stamps}, stamps)
    return index


def _arrays(index: ShardIndex) -> dict[str, np.ndarray]:
    text = {"names": index.names.block, "words": index.words.block}
    blocks = {name: np.frombuffer(block, np.uint8) for name, block in text.items()}
    return blocks | {"places": index.places, "codes": index.codes}


def _scan(shard: str) -> ShardIndex:
    logger.info("indexing %s", shard)
    names, places, words = [], [], LabelWords()
    try:
        with open_regular(shard) as file, tarfile.open(shard, "r:") as archive:
            for key, members in _samples(archive):
                image = _image_of(shard, key, members)
                names.append(image.name)
                places.append((image.offset_data, image.size))
                words.add(_label_of(shard, key, members, file.fileno()), shard)
            _require_end(shard, archive.offset, file)
    except tarfile.ReadError as error:
        raise DataError(f"{shard} is not a whole, uncompressed tar file ({error}); replace it, or unpack it") from None
    if not names:
        raise DataError(f"{shard} holds no samples: remove it")
    codes = np.array(words.codes, np.int64)
    return ShardIndex(Names.of(names), np.array(places, np.int64), Names.of(words.different), codes)


def _samples(archive: tarfile.TarFile) -> Iterator[tuple[str, dict[str, tarfile.TarInfo]]]:
    """The members of each sample by extension; hidden ones and those that are not files are skipped."""
    key, members = "", {}
    for member in archive:
        # It would keep every one. (Public, and not in the stubs.)
        archive.members = []  # pyright: ignore[reportAttributeAccessIssue]
        folder, _, base = member.name.rpartition("/")
        if member.islnk() or member.issym():
            raise DataError(f"{archive.name}: the member {member.name} is a link: pack the files themselves")
        if not member.isreg() or base.startswith("."):
            continue
        stem, _, extension = base.partition(".")
        own = f"{folder}/{stem}"
        if own != key and members:
            yield key, members
            members = {}
        key = own
        if members.setdefault(extension.lower(), member) is not member:
            raise DataError(f"{archive.name}: the sample {key.strip('/')} has two members .{extension.lower()}")
    if members:
        yield key, members


def _image_of(shard: str, key: str, members: dict[str, tarfile.TarInfo]) -> tarfile.TarInfo:
    images = [extension for extension in members if f".{extension}" in IMAGE_EXTENSIONS]
    if len(images) != 1:
        raise DataError(
            f"{shard}: the sample {key.strip('/')} has {len(images)} images among {shortened(list(members))}: "
            f"it must have one ({' '.join(IMAGE_EXTENSIONS)})"
        )
    return members[images[0]]


def _label_of(shard: str, key: str, members: dict[str, tarfile.TarInfo], file: int) -> str:
    label = None
    if member := members.get("cls"):
        label = os.pread(file, member.size, member.offset_data).decode("utf-8-sig", errors="replace").strip()
    elif member := members.get("json"):
        try:
            values = json.loads(os.pread(file, member.size, member.offset_data))
            given = values["label"] if "label" in values else values["cls"]
        except (ValueError, KeyError, TypeError, RecursionError):
            given = None
        if given is not None and (isinstance(given, bool) or not isinstance(given, int | str)):
            raise DataError(
                f"{shard}: the sample {key.strip('/')} has the label {reprlib.repr(given)}: it must be the number of a "
                "class, or its name"
            )
        label = None if given is None else str(given).strip()
    if not label:
        raise DataError(
            f"{shard}: the sample {key.strip('/')} has no label among {shortened(list(members))}: it needs a member "
            ".cls, or a member .json with the key label"
        )
    if not is_name(label):
        raise DataError(f"{shard}: the sample {key.strip('/')} has the label {reprlib.repr(label)}: it must be UTF-8")
    return label


def _require_end(shard: str, end: int, file: BinaryIO) -> None:
    """Require the end mark where reading stopped and nothing after it, which tarfile would not notice."""
    file.seek(end)
    mark = file.read(512)
    if len(mark) < 512 or any(mark):
        raise DataError(f"{shard} is damaged or cut short at byte {end}: replace it")
    while rest := file.read(1 << 20):
        if rest.strip(b"\0"):
            raise DataError(f"{shard} has data after its end mark, as joined archives do: unpack and pack it again")
