"""`tst-fast compare`: TST and its baselines, over several seeds."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from tst_fast.commands.arms import ARMS_HELP, DEFAULT, Changes, arms_of
from tst_fast.commands.counts import JOBS_HELP, check_counts
from tst_fast.config import reading
from tst_fast.config.schema import Config
from tst_fast.errors import UserError, errors_as_messages


def main(arguments: Sequence[str] | None = None) -> None:
    """Train a teacher for each share of the data, then each arm with each seed; print and write what came out."""
    with errors_as_messages():
        parser = reading.make_parser(
            "tst-fast compare", "Compare TST with baselines: the same teacher, images and number of steps."
        )
        parser.add_argument("--seeds", type=int, default=5, help="number of seeds, from --seed upwards")
        parser.add_argument(
            "--fraction_seeds",
            type=int,
            default=1,
            help="with --data.fraction: number of choices of training images, from --data.fraction_seed upwards, each "
            "with every seed and its own teacher",
        )
        parser.add_argument(
            "--folder",
            type=Path,
            help="of the comparison: finished runs in it are reused, stopped ones continued; null: made in --output",
        )
        parser.add_argument("--arms", nargs="+", default=DEFAULT, help=ARMS_HELP)
        parser.add_argument("--jobs", type=int, default=1, help=JOBS_HELP)
        reading.add_config(parser)
        config, options = reading.parse(parser, sys.argv[1:] if arguments is None else arguments)
        arms = _check(config, options)
        # What runs networks takes seconds to import, and a mistyped flag should not.
        from tst_fast.commands.comparison import Comparison, going_on_by
        from tst_fast.report.services import require_trackers
        from tst_fast.run.folder import require_room
        from tst_fast.run.start import new_folder, start_accelerator

        accelerator = start_accelerator(config.timeout)
        if accelerator.is_main_process:
            require_room(options.folder or config.output, "--folder" if options.folder else "--output")
            require_trackers(config.track)
        folder = options.folder or new_folder(config, accelerator, prefix="compare-")
        with going_on_by(f"the same command with --folder {folder}", accelerator):
            Comparison(config, arms, options.seeds, options.fraction_seeds, folder, accelerator, options.jobs).run()
        accelerator.end_training()


def _check(config: Config, options: Namespace) -> dict[str, Changes]:
    """The arms that are asked for."""
    check_counts(options, "seeds", "fraction_seeds", "jobs")
    if options.fraction_seeds > 1 and config.data.fraction == 1:
        raise UserError("--fraction_seeds chooses training images: give --data.fraction with it, below 1")
    return arms_of(options.arms)
