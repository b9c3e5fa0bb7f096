"""`tst-fast table GROUP`: all pairs of a group, each with every arm and seed, in one table beside published figures."""

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tst_fast.commands.arms import ARMS_HELP, KD, TST, UNTRAINED, arms_of
from tst_fast.commands.counts import JOBS_HELP, check_counts
from tst_fast.commands.groups import GROUPS, Row
from tst_fast.config import reading
from tst_fast.config.schema import Config
from tst_fast.errors import UserError, errors_as_messages, nearest


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is left of a group or of a part of it; print and write the table of all that is there."""
    with errors_as_messages():
        options, flags = _parser().parse_known_args(sys.argv[1:] if arguments is None else arguments)
        rows, arms = _rows(options), arms_of(options.arms)
        # All of them before the first is run: the last one may fail in a week otherwise.
        configs = {row.name: _config(row, flags) for row in _part(rows, options.part)}
        folder = options.folder or Path("tables") / options.group
        # What runs networks takes seconds to import, and a mistyped flag should not.
        from rich.console import Console

        from tst_fast.commands.comparison import Comparison, going_on_by
        from tst_fast.commands.tabulation import write_table
        from tst_fast.report.console import say
        from tst_fast.run.folder import require_room
        from tst_fast.run.start import start_accelerator

        accelerator = start_accelerator()
        if accelerator.is_main_process:
            require_room(folder, "--folder")
        with going_on_by("the same command", accelerator):
            for name, config in configs.items():
                Comparison(config, arms, options.seeds, 1, folder / name, accelerator, options.jobs).run()
        if accelerator.is_main_process:
            say(Console(highlight=False), write_table(rows, folder))
        accelerator.end_training()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tst-fast table",
        usage=f"tst-fast table {{{','.join(GROUPS)}}} [--seeds N] [--jobs N] [--part K/N] [--a.b value ...]",
        description=__doc__,
        epilog="Finished runs are reused and stopped ones continued. All settings of `train` are accepted.",
        allow_abbrev=False,
    )
    parser.add_argument("group", help="group of pairs")
    parser.add_argument(
        "--seeds", type=int, default=3, help="number of seeds, from --seed upwards (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=1, help=f"{JOBS_HELP} (default: %(default)s)")
    arms = [KD, UNTRAINED, TST]
    parser.add_argument("--arms", nargs="+", default=arms, help=f"{ARMS_HELP} (default: {shlex.join(arms)})")
    parser.add_argument("--part", default="1/1", help="K/N: every N-th pair from the K-th, for job arrays")
    parser.add_argument("--folder", type=Path, help="folder of runs and table (default: tables/GROUP)")
    return parser


def _rows(options: argparse.Namespace) -> tuple[Row, ...]:
    """Of the group; checks the other options."""
    if options.group not in GROUPS:
        raise UserError(
            f"no group {options.group!r}{nearest(options.group, list(GROUPS))} Groups: {', '.join(GROUPS)}."
        )
    check_counts(options, "seeds", "jobs")
    return GROUPS[options.group]


def _part(rows: Sequence[Row], part: str) -> Sequence[Row]:
    """Every N-th row from the K-th on."""
    found = re.fullmatch(r"(\d+)/(\d+)", part)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UserError(f"--part {part}: give K/N, with K from 1 to N")
    return rows[int(found[1]) - 1 :: int(found[2])]


def _config(row: Row, flags: Sequence[str]) -> Config:
    if any(flag.split("=")[0] == "--config" for flag in flags):
        raise UserError("the group says which presets are run: leave --config out")
    return reading.from_flags(["--config", row.preset, *row.flags, *flags])
