"""Look at every file of a data set before a run does: `tst-fast verify-data FOLDER [--config ... --data.x ...]`."""

import argparse
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

from tst_fast.config import reading
from tst_fast.errors import errors_as_messages, writing
from tst_fast.report.console import say
from tst_fast.report.counter import Counter
from tst_pipelines import Inspection, inspect_images
from tst_pipelines.loaders.inspection import Fault
from tst_pipelines.loaders.probe import Probe

_BLOCK = 1024  # images handed to the threads at a time: a million at once would take a gigabyte


def faults(inspection: Inspection, threads: int, advance: Callable[[], None]) -> Iterator[Fault]:
    """All that is wrong, in order.

    Args:
        inspection: of the files.
        threads: how many look.
        advance: called after each image.
    """
    own = threading.local()

    def look(number: int) -> list[Fault]:
        if not hasattr(own, "probe"):
            own.probe = Probe()
        return inspection.look(number, own.probe)

    yield from inspection.known
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, inspection.count, _BLOCK):
            block = range(first, min(first + _BLOCK, inspection.count))
            for found in pool.map(look, block):
                advance()
                yield from found


def verify(inspection: Inspection, threads: int, console: Console) -> list[Fault]:
    """Look at everything, and print each bad file with its fault.

    Returns:
        What was found.
    """
    found = []
    with Counter(console, "images", inspection.count) as counter:
        for fault in faults(inspection, threads, counter.advance):
            counter.say(f"{fault.name}: {fault.what}")
            found.append(fault)
    others = sum(fault.image is None for fault in found)
    unusable = f", {others:,} other files that cannot be used" if others else ""
    say(console, f"{inspection.count:,} images, {len(_images(found)):,} bad{unusable}")
    return found


def _images(found: Sequence[Fault]) -> list[str]:
    """Those to leave out, each once."""
    return list(dict.fromkeys(fault.image for fault in found if fault.image is not None))


def _inspection(folder: Path, flags: Sequence[str]) -> Inspection:
    """Of the folder, or of what a run with these flags would read from it."""
    if not flags:
        return inspect_images(folder)
    from tst_fast.run.start import start_accelerator
    from tst_fast.tasks import make_task

    return make_task(reading.from_flags([*flags, f"--data.root={folder}"]), start_accelerator()).inspection()


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, verify, and exit with status 1 if anything is bad."""
    parser = argparse.ArgumentParser(
        "tst-fast verify-data",
        usage="%(prog)s FOLDER [--write-exclude FILE] [--threads N] [--config PRESET_OR_FILE] [--data.name ...]",
        description="Check every image of a folder; with settings of a run (--config, --data.name and others), check "
        "what that run would read, including label maps.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder", type=Path, help="folder that is searched recursively for images and WebDataset shards (*.tar)"
    )
    parser.add_argument(
        "--write-exclude", type=Path, metavar="FILE", help="write the list of faulty images, for --data.exclude"
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="number of threads (default: one per core)"
    )
    options, flags = parser.parse_known_args(arguments)
    if options.threads < 1:
        parser.error(f"--threads is {options.threads}: it must be 1 or more")
    if flags and not any(flag.startswith(("--config", "--data.name")) for flag in flags):
        parser.error(f"unrecognized arguments: {' '.join(flags)}")
    with errors_as_messages("stopped before every image was looked at"):
        if file := options.write_exclude:
            with writing(file, "--write-exclude"):
                file.open("ab").close()  # tried before the work
        found = verify(_inspection(options.folder, flags), options.threads, Console())
        if file:
            with writing(file, "--write-exclude"):
                file.write_bytes(b"".join(os.fsencode(name) + b"\n" for name in _images(found)))
    sys.exit(1 if found else 0)
