"""`tst-fast predict STUDENT IMAGES --output FOLDER`: what a run's student answers to images."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tst_fast.config.imports import IMPORT
from tst_fast.errors import UserError, errors_as_messages
from tst_fast.report.console import say
from tst_fast.report.counter import Counter


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, answer every image, and exit with status 1 if one could not be read."""
    parser = argparse.ArgumentParser("tst-fast predict", description="Apply a run's student to images.")
    parser.add_argument("student", type=Path, help="a run's folder, or the student.safetensors in it")
    parser.add_argument("images", type=Path, help="an image, or a folder that is searched recursively")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="output folder, new or empty")
    parser.add_argument("--import", **IMPORT)
    given = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    with errors_as_messages("stopped before every image was answered"):
        # What runs networks takes seconds to import, and a mistyped flag should not.
        from tst_fast.run.prediction import Predictor
        from tst_fast.run.start import start_accelerator

        accelerator = start_accelerator()
        if accelerator.num_processes > 1:
            raise UserError("one process answers the images: run `tst-fast predict` without a launcher")
        predictor, console, bad = Predictor(given.student, accelerator, given.said), Console(highlight=False), []
        with Counter(console, "images") as counter:

            def report(name: str, fault: str) -> None:
                counter.say(f"{name}: {fault}")
                bad.append(name)

            answered = predictor.write(given.images, given.output, report, counter.update)
        skipped = f", {len(bad):,} left out, which cannot be read" if bad else ""
        say(console, f"{answered:,} images answered{skipped}; everything is in {given.output}")
        accelerator.end_training()
    sys.exit(1 if bad else 0)
