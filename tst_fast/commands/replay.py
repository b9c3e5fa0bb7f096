"""`tst-fast replay DUMP`: take again the step of a run that left NaN or infinity, and say where it begins."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from tst_fast.config.imports import IMPORT
from tst_fast.errors import errors_as_messages


def main(arguments: Sequence[str] | None = None) -> None:
    """Go on from the dump's checkpoint, in one process, up to the step; print what of it is not finite."""
    parser = argparse.ArgumentParser(
        "tst-fast replay", description="Repeat a step whose loss or gradient was not finite."
    )
    parser.add_argument("dump", type=Path, help="a folder not_finite-* in a run's folder")
    parser.add_argument("--import", **IMPORT)
    given = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    with errors_as_messages():
        # What runs networks takes seconds to import, and a mistyped flag should not.
        from tst_fast.commands.repetition import Repetition
        from tst_fast.config import reading
        from tst_fast.run.not_finite import Dump
        from tst_fast.run.session import Session
        from tst_fast.run.start import start_accelerator

        dump = Dump.read(given.dump)
        config, accelerator = reading.load(given.dump / "config.yaml", given.said), start_accelerator()
        with TemporaryDirectory() as copy:
            shutil.copytree(given.dump, copy, dirs_exist_ok=True)
            with closing(Repetition(Session(config, accelerator), Path(copy), dump)) as repetition:
                findings = repetition.find()
        print(f"step {dump.step} of {dump.stage} epoch {dump.epoch}, which left {dump.what} not finite:")
        for finding in findings:
            print(f"  {finding}")
        accelerator.end_training()
