"""How many of something a command is asked for, and how many at a time."""

import os
from argparse import Namespace

from tst_fast.errors import UserError

JOBS_HELP = "number of runs at a time, each in its own process; they share GPUs and CPU threads"


def check_counts(options: Namespace, *names: str) -> None:
    """Whether there can be as many.

    Raises:
        UserError: one of the options of these names is below 1; or several jobs are to be run by several processes.
    """
    for name in names:
        if getattr(options, name) < 1:
            raise UserError(f"--{name} is {getattr(options, name)}: it must be 1 or more")
    if options.jobs > 1 and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(f"--jobs {options.jobs} starts processes itself: start it as `tst-fast`, without a launcher")
