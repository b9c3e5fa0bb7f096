"""Lists of files and labels: a text file with a line for each image."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path

from tst_pipelines.datasets.files import ImageDataset, is_inside, reason, shown
from tst_pipelines.datasets.label_words import LabelWords
from tst_pipelines.datasets.names import Names
from tst_pipelines.protocol import DataError


def image_list(
    file: str | Path, root: str | Path, classes: Sequence[str] | None = None, *, outside: bool = False
) -> ImageDataset:
    """Read a list of images: `FILE LABEL` a line, as Caffe's.

    Only the first image is looked for, to find a wrong `root` early; any other that is missing is named when its turn
    comes.

    Args:
        file: the list. The label is a line's last word: the number of a class from 0, or its name; the file's name is
            all before, relative to `root`, spaces included. Blank lines and a byte order mark are passed over.
        root: the folder of the images.
        classes: the training split's classes, for the labels of another split (see `LabelWords.number`).
        outside: whether names may lead out of `root`.

    Returns:
        The data set, in the order of the list.

    Raises:
        DataError: the list cannot be read or is empty, a line is malformed or leads out of `root` (by its number), a
            label is no class, or the first image is not there.
    """
    names, words = bytearray(), LabelWords()
    try:
        with open(file, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                parts = (line.removeprefix(BOM_UTF8) if number == 1 else line).rsplit(maxsplit=1)
                if not parts:
                    continue
                name = parts[0].strip()
                if len(parts) < 2 or not name or b"\0" in name:
                    found = line.strip().decode(errors="replace")[:80]
                    raise DataError(f"{file}, line {number}: expected FILE LABEL, found {found!r}")
                if not outside and not is_inside(os.fsdecode(name), os.fspath(root)):
                    leading = shown(os.fsdecode(name))
                    raise DataError(f"{file}, line {number}: {leading} leads out of the folder {root}", "outside")
                names += name + b"\0"
                words.add(parts[1].decode(errors="surrogateescape"), f"{file}, line {number}")
    except OSError as error:
        raise DataError(f"the list {file} cannot be read: {reason(error)}") from None
    if not names:
        raise DataError(f"the list {file} is empty: give a line FILE LABEL for each image")
    dataset = ImageDataset(Path(root), Names(bytes(names)), *words.number(classes))
    if not os.path.exists(dataset.path(0)):
        raise DataError(f"{dataset.path(0)}, the first image of {file}, is not there: its names are relative to {root}")
    return dataset
