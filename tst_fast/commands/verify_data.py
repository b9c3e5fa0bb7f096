"""Look at every image of a folder before a run does: `tst-fast verify-data FOLDER`."""

import argparse
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tst_fast.errors import UserError, errors_as_messages
from tst_pipelines import ImageDataset
from tst_pipelines.loaders.probe import Probe, image_fault, images_below

_BLOCK = 1024  # images handed to the threads at a time: a million at once would take a gigabyte


def faults(datasets: Sequence[ImageDataset], threads: int, advance: Callable[[], None]) -> Iterator[tuple[str, str]]:
    """The name of each bad image, with its fault.

    Args:
        datasets: from `images_below`.
        threads: how many decode.
        advance: called after each image.
    """
    own = threading.local()

    def look(dataset: ImageDataset, index: int) -> str | None:
        if not hasattr(own, "probe"):
            own.probe = Probe()
        try:
            return image_fault(dataset, index, own.probe)
        except OSError as error:  # between two reads
            return (error.strerror or str(error)).lower()

    with ThreadPoolExecutor(threads) as pool:
        for dataset in datasets:
            for first in range(0, len(dataset), _BLOCK):
                block = range(first, min(first + _BLOCK, len(dataset)))
                for index, fault in zip(block, pool.map(lambda i: look(dataset, i), block), strict=True):  # noqa: B023
                    advance()
                    if fault:
                        yield dataset.files[index], fault


def verify(folder: Path, threads: int, console: Console) -> tuple[list[str], list[str]]:
    """Look at every image and print each bad one, and each bad shard, with its fault.

    Returns:
        The names of the bad images and of the bad shards, relative to `folder`.

    Raises:
        DataError: there is nothing to look at.
    """
    datasets, bad_shards = images_below(folder)
    total = sum(len(dataset) for dataset in datasets)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    bad = []
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("images", total=total)

        def report(name: str, fault: str) -> None:
            progress.console.print(f"{name}: {fault}", markup=False, highlight=False, soft_wrap=True)

        for shard, fault in bad_shards.items():
            report(shard, fault)
        for name, fault in faults(datasets, threads, lambda: progress.advance(task)):
            report(name, fault)
            bad.append(name)
    shards = f", {len(bad_shards):,} shards that cannot be used" if bad_shards else ""
    console.print(f"{total:,} images, {len(bad):,} bad{shards}", highlight=False)
    return bad, list(bad_shards)


def _write_names(names: Sequence[str], file: Path) -> None:
    try:
        file.write_bytes(b"".join(os.fsencode(name) + b"\n" for name in names))
    except OSError as error:
        raise UserError(f"--write-exclude {file} cannot be written: {error.strerror}") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, verify, and exit with status 1 if anything is bad."""
    parser = argparse.ArgumentParser("tst-fast verify-data", description=__doc__)
    parser.add_argument("folder", type=Path, help="searched for images and WebDataset shards (*.tar), however deep")
    parser.add_argument("--write-exclude", type=Path, metavar="FILE", help="list the bad images, for --data.exclude")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="default: one for each core")
    options = parser.parse_args(arguments)
    if options.threads < 1:
        parser.error(f"--threads is {options.threads}: it must be 1 or more")
    with errors_as_messages("stopped before every image was looked at"):
        bad, bad_shards = verify(options.folder, options.threads, Console())
        if options.write_exclude:
            _write_names(bad, options.write_exclude)
    sys.exit(1 if bad or bad_shards else 0)
