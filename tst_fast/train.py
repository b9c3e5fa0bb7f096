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
from tst_fast.config.imports import IMPORT, saying
from tst_fast.config.schema import Config
from tst_fast.errors import UserError, errors_as_messages


def parse(arguments: Sequence[str]) -> tuple[Config, argparse.Namespace]:
    """The configuration, and other options.

    These are `resume` (a run's folder, or None), `elastic`, `override` (what is meant to have changed since, key to
    value), `evaluate_only` and `dry_run`.
    """
    first = argparse.ArgumentParser("tst-fast train", reading.USAGE, add_help=False, allow_abbrev=False)
    first.add_argument("--resume")
    first.add_argument("--elastic", action="store_true")
    first.add_argument("--override", action="append", default=[])
    first.add_argument("--import", **IMPORT)
    known, others = first.parse_known_args(arguments)
    if known.resume not in (None, "auto"):
        return _resumed(known, others)
    others += saying(known.said)
    if known.override or (known.elastic and not known.resume):
        option = "override" if known.override else "elastic"
        raise UserError(f"--{option} is for --resume FOLDER: a new run takes any settings and number of processes")
    parser = reading.make_parser("tst-fast train", "Distil a student by TST.")
    parser.add_argument(
        "--resume",
        help="continue a stopped run with its own configuration: its folder, or latest, the newest in --output. Or "
        "auto: continue the run with these settings if it has not finished, else start it",
    )
    parser.add_argument("--elastic", action="store_true", help="with --resume: allow another number of processes")
    parser.add_argument("--override", metavar="KEY=VALUE", help="with --resume: change a setting; may be repeated")
    parser.add_argument("--evaluate_only", action="store_true", help="only evaluate the networks that have checkpoints")
    parser.add_argument("--dry_run", action="store_true", help="take two steps of each stage, and keep nothing")
    reading.add_config(parser)
    config, options = reading.parse(parser, others)
    options.resume = _begun_before(config) if known.resume else None
    options.elastic, options.override = known.elastic, {}
    return config, options


def _resumed(known: argparse.Namespace, others: Sequence[str]) -> tuple[Config, argparse.Namespace]:
    """What `parse` gives for a run that was begun before."""
    from tst_fast.run.folder import newest_run

    folder = Path(known.resume)
    if known.resume == "latest":
        first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        first.add_argument("--output", type=Path, default=Config().output)
        where, others = first.parse_known_args(others)
        found = newest_run(where.output)
        if found is None:
            raise UserError(f"--resume latest: {where.output} holds no run; give --output, where runs are kept")
        folder = found
    if others:
        raise UserError(
            "--resume continues a run as it was configured: its folder, --elastic, --override KEY=VALUE and --import "
            "are all it takes"
        )
    if not (folder / "config.yaml").is_file():
        raise UserError(f"--resume {folder}: no run was begun there, for it holds no config.yaml")
    override = {}
    for word in known.override:
        key, separator, value = word.partition("=")
        if not separator:
            raise UserError(f"--override {word}: give KEY=VALUE, such as policy.learning_rate=0.01")
        override[key.removeprefix("--")] = value
    settings = {key: value for key, value in override.items() if not key.startswith("files.")}
    how = {"resume": folder, "elastic": known.elastic, "override": override}
    config = reading.load_saved(folder / "config.yaml", settings, known.said)
    return config, argparse.Namespace(**how, evaluate_only=False, dry_run=False)


def _begun_before(config: Config) -> Path | None:
    """The folder of the run of this name that was begun last, if it has a checkpoint and no result.

    Raises:
        UserError: it was begun with other settings.
    """
    from tst_fast.run.folder import newest_run
    from tst_fast.run.origin import differences, recorded, require_stated

    folder = newest_run(config.output, config.name)
    if folder is None or (folder / "result.json").exists() or not any(folder.glob("checkpoints/*.pt")):
        return None
    asked = reading.settings_of(config)
    begun = reading.settings_begun_with(folder / "config.yaml", config)
    changed, stated = differences(begun, asked), recorded(folder)
    meant = {key for key, (then, _) in changed.items() if key in stated and stated[key] == then}
    require_stated({key: values for key, values in changed.items() if key not in meant}, {}, folder)
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, build, run, close."""
    with errors_as_messages("stopped; a run that had begun goes on by --resume with its folder"):
        config, options = parse(sys.argv[1:] if arguments is None else arguments)
        # Only now, for they import torch, for which neither --help nor the message of a typo should wait.
        from tst_fast.run.evaluate import evaluate_checkpoints
        from tst_fast.run.start import open_run, start_accelerator

        accelerator = start_accelerator(config.timeout)
        if options.evaluate_only:
            evaluate_checkpoints(config, accelerator)
        elif options.dry_run:
            with TemporaryDirectory() as folder, closing(open_run(config, Path(folder), accelerator, dry=True)) as run:
                run.run()
        else:
            with closing(open_run(config, options.resume, accelerator)) as run:
                if options.resume:
                    run.resume(options.elastic, options.override)
                run.run()
        accelerator.end_training()


if __name__ == "__main__":
    main()
