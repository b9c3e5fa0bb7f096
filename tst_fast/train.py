"""Distil a student by TST: `accelerate launch tst_fast/train.py [--config PRESET_OR_FILE] [--a.b value ...]`."""

import sys
from pathlib import Path

# Run as a script, Python puts this folder first, where `config` or `models` would shadow libraries of these names.
sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]

import argparse
from collections.abc import Sequence
from contextlib import closing
from tempfile import TemporaryDirectory

from tst_fast.config import reading
from tst_fast.config.schema import Config
from tst_fast.errors import UserError, errors_as_messages


def parse(arguments: Sequence[str]) -> tuple[Config, argparse.Namespace]:
    """The configuration, and other options.

    These are `resume` (a run's folder, or None), `elastic`, `override` (what is meant to have changed since, key to
    value), `evaluate_only` and `dry_run`.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--resume", type=Path)
    first.add_argument("--elastic", action="store_true")
    first.add_argument("--override", action="append", default=[])
    first.add_argument("--config")
    known, others = first.parse_known_args(arguments)
    if known.resume:
        if known.config or others:
            raise UserError(
                "--resume continues a run as it was configured: its folder, --elastic and --override KEY=VALUE are all "
                "it takes"
            )
        return _resumed(known)
    for option in ("elastic", "override"):
        if getattr(known, option):
            raise UserError(f"--{option} is for --resume FOLDER: a new run takes any settings and number of processes")
    parser = reading.make_parser("train.py", "Distil a student by TST.")
    parser.add_argument("--resume", type=Path, help="folder of a stopped run: continue it, with its own configuration")
    parser.add_argument("--elastic", action="store_true", help="resume on another number of processes too")
    parser.add_argument("--override", metavar="KEY=VALUE", help="resume with this changed; may be given several times")
    parser.add_argument("--evaluate_only", action="store_true", help="print the scores of the checkpoints, and stop")
    parser.add_argument("--dry_run", action="store_true", help="take two steps of everything; nothing is kept")
    reading.add_config(parser)
    return reading.parse(parser, arguments)


def _resumed(known: argparse.Namespace) -> tuple[Config, argparse.Namespace]:
    """What `parse` gives for a run that was begun before."""
    file, override = known.resume / "config.yaml", {}
    if not file.is_file():
        raise UserError(f"--resume {known.resume}: no run was begun there, for it holds no config.yaml")
    for word in known.override:
        key, separator, value = word.partition("=")
        if not separator:
            raise UserError(f"--override {word}: give KEY=VALUE, such as policy.learning_rate=0.01")
        override[key.removeprefix("--")] = value
    settings = {key: value for key, value in override.items() if not key.startswith("files.")}
    how = {"resume": known.resume, "elastic": known.elastic, "override": override}
    return reading.load_saved(file, settings), argparse.Namespace(**how, evaluate_only=False, dry_run=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, build, run, close."""
    with errors_as_messages("stopped; --resume with the run's folder continues"):
        config, options = parse(sys.argv[1:] if arguments is None else arguments)
        # Only now, for they import torch, for which neither --help nor the message of a typo should wait.
        from tst_fast.run.evaluate import evaluate_checkpoints
        from tst_fast.run.start import new_folder, open_run, start_accelerator

        accelerator = start_accelerator()
        if options.evaluate_only:
            evaluate_checkpoints(config, accelerator)
        elif options.dry_run:
            with TemporaryDirectory() as folder, closing(open_run(config, Path(folder), accelerator, dry=True)) as run:
                run.run()
        else:
            with closing(open_run(config, options.resume or new_folder(config), accelerator)) as run:
                if options.resume:
                    run.resume(options.elastic, options.override)
                run.run()
        accelerator.end_training()


if __name__ == "__main__":
    main()
