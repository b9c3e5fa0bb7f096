"""Leaving out images that a list names."""

from __future__ import annotations

import logging
import os
from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from tst_pipelines.datasets.files import ImageFiles, reason, shortened
from tst_pipelines.datasets.names import Names
from tst_pipelines.protocol import DataError

logger = logging.getLogger(__name__)

Files = TypeVar("Files", bound=ImageFiles)


def leave_out(splits: Sequence[Files], root: Path, file: Path) -> list[Files]:
    """Leave out exactly the images on a list, and log how many they are.

    Args:
        splits: data sets whose folders are `root` or below it.
        root: what the names on the list are relative to.
        file: the list, one name a line. A name that is in no split is warned of.

    Returns:
        The splits without these images, with the same classes.

    Raises:
        DataError: the list cannot be read, no name on it is in a split, or a split would be empty.
    """
    try:
        lines = file.read_bytes().removeprefix(BOM_UTF8).splitlines()
    except OSError as error:
        raise DataError(f"the list {file} cannot be read: {reason(error)}") from None
    listed = {os.path.normpath(os.fsdecode(line)) for line in lines if line.strip()}
    found: set[str] = set()
    kept = []
    for split in splits:
        prefix = os.path.relpath(split.root, root)
        names = (os.path.normpath(os.path.join(prefix, name)) for name in split.files)
        mask = np.fromiter((name not in listed for name in names), bool, len(split))
        left_out = Names.of(split.files).select(np.flatnonzero(~mask))
        found.update(os.path.normpath(os.path.join(prefix, name)) for name in left_out)
        if not mask.any():
            raise DataError(f"{file} leaves out every image of {split.root}")
        logger.warning("%s: skipped %d of %d images, as %s says", split.root, len(left_out), len(mask), file)
        kept.append(split.select(np.flatnonzero(mask)))
    strangers = sorted(listed - found)
    if strangers and not found:
        raise DataError(
            f"{file} names no image of {root}, not even {strangers[0]}: its names must be relative to {root}", "exclude"
        )
    if strangers:
        logger.warning("%s names %d files that are not used: %s", file, len(strangers), shortened(strangers))
    return kept
