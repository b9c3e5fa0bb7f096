"""Distil a student by TST: `accelerate launch tst_fast/train.py [--config PRESET_OR_FILE] [--a.b value ...]`."""

import sys
from pathlib import Path

# Run as a script, Python puts this folder first, where `config` or `models` would shadow libraries of these names.
sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from tempfile import TemporaryDirectory

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from tst_fast.config import reading
from tst_fast.config.schema import Config
from tst_fast.errors import UserError
from tst_fast.run.evaluate import evaluate
from tst_fast.run.loop import Run
from tst_pipelines import DataError

DEFAULT = "digits"
OPTIONS = {
    "crop": "--data.crop pad",
    "download": "--data.download true",
    "elastic": "--elastic",
    "exclude": "--data.exclude FILE, as `tst-fast verify-data FOLDER --write-exclude FILE` writes it",
    "loader": "--data.loader dali",
}
"""What to say here where `tst_pipelines` names an option."""


def parse(arguments: Sequence[str]) -> tuple[Config, argparse.Namespace]:
    """The configuration, and the options `resume` (a run's folder, or None), `elastic`, `evaluate_only`, `dry_run`."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--resume", type=Path)
    first.add_argument("--elastic", action="store_true")
    first.add_argument("--config")
    known, others = first.parse_known_args(arguments)
    if known.resume:
        if known.config or others:
            raise UserError("--resume continues a run as it was configured: its folder and --elastic are all it takes")
        if not (known.resume / "config.yaml").is_file():
            raise UserError(f"--resume {known.resume}: no run was begun there, for it holds no config.yaml")
        return reading.load(known.resume / "config.yaml"), argparse.Namespace(
            resume=known.resume, elastic=known.elastic, evaluate_only=False, dry_run=False
        )
    if known.elastic:
        raise UserError("--elastic is for --resume FOLDER: a new run takes any number of processes")
    parser = reading.make_parser("train.py", "Distil a student by TST.")
    parser.add_argument("--resume", type=Path, help="folder of a stopped run: continue it, with its own configuration")
    parser.add_argument("--elastic", action="store_true", help="resume on another number of processes too")
    parser.add_argument("--evaluate_only", action="store_true", help="print the accuracy of the checkpoints, and stop")
    parser.add_argument("--dry_run", action="store_true", help="take two steps of everything; nothing is kept")
    reading.add_config(parser)
    return reading.parse(parser, arguments if known.config else ["--config", DEFAULT, *arguments])


def new_folder(config: Config, prefix: str = "") -> Path:
    """Where a new run is kept: the same folder in each process."""
    name = [f"{prefix}{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"]
    broadcast_object_list(name)
    return Path(config.output) / name[0]


def start_accelerator() -> Accelerator:
    """Accelerate as `accelerate launch` configured it.

    Raises:
        UserError: it was told to use float16, which needs loss scaling that two optimizers cannot share.
    """
    accelerator = Accelerator()
    if accelerator.mixed_precision == "fp16":
        raise UserError("fp16 is not supported: launch with --mixed_precision bf16 or no")
    return accelerator


@contextmanager
def explained() -> Iterator[None]:
    """Errors that the user can put right, and Ctrl-C, end the program with a message alone."""
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except DataError as error:
        flags = " or ".join(OPTIONS[option] for option in error.options if option in OPTIONS)
        sys.exit(f"error: {error} ({flags})" if flags else f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; --resume with the run's folder continues")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, build, run, close."""
    with explained():
        config, options = parse(sys.argv[1:] if arguments is None else arguments)
        accelerator = start_accelerator()
        if options.evaluate_only:
            evaluate(config, accelerator)
        elif options.dry_run:
            with TemporaryDirectory() as folder, closing(Run(config, Path(folder), accelerator, dry=True)) as run:
                run.run()
        else:
            with closing(Run(config, options.resume or new_folder(config), accelerator)) as run:
                if options.resume:
                    run.resume(options.elastic)
                run.run()
        accelerator.end_training()


if __name__ == "__main__":
    main()
