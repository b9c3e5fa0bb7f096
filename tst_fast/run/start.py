"""Start-up of every command that runs networks."""

import os
import sys
from datetime import timedelta
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list

from tst_fast.config.schema import Config
from tst_fast.errors import UserError
from tst_fast.report.html.observer import ReportWriter
from tst_fast.report.observer import Observer
from tst_fast.report.services import require_trackers
from tst_fast.report.terminal import Terminal
from tst_fast.report.trackers import Trackers
from tst_fast.run.folder import hold, make_folder, require_room
from tst_fast.run.host_memory import keep_freed_memory
from tst_fast.run.loop import Run
from tst_fast.run.session import Session


def start_accelerator(timeout: float = Config.timeout) -> Accelerator:
    """Accelerate as `accelerate launch` configured it.

    Args:
        timeout: seconds that a process waits for the others, at most.

    Raises:
        UserError: it was told to use float16, which needs loss scaling that two optimizers cannot share; or more
            processes were started than it knows of, each of which would be a whole run in the same folder.
    """
    accelerator = Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(seconds=timeout))])
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started > accelerator.num_processes:
        if os.environ.get("RANK", "0") != "0":
            sys.exit(1)  # the first says it
        raise UserError(
            f"{started} processes were started, but Accelerate found no GPUs to share out among them: set "
            "ACCELERATE_USE_CPU=true to use them on CPUs, or start one"
        )
    if accelerator.mixed_precision == "fp16":
        raise UserError("fp16 is not supported: launch with --mixed_precision bf16 or no")
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    return accelerator


def new_folder(config: Config, accelerator: Accelerator, prefix: str = "") -> Path:
    """Make the folder of a new run: one that nobody else has, and the same in each process."""
    made: list[Path | None] = [None]
    if accelerator.is_main_process:
        made = [make_folder(config.output, f"{prefix}{config.name}")]
    broadcast_object_list(made)
    assert made[0] is not None  # the main process made it
    return made[0]


def open_run(
    config: Config, folder: Path | None, accelerator: Accelerator, quiet: bool = False, dry: bool = False
) -> Run:
    """A run that the terminal shows, and that leaves a report.

    Args:
        config: what to do.
        folder: the run's; None makes one, once all else that a run needs is there.
        accelerator: processes, devices and precision.
        quiet: show no tables, take the progress bars away at the end, and write no report.
        dry: take two steps of everything, and stop; there is no report of it.

    Raises:
        UserError, tst_pipelines.DataError: something of the configuration or the data cannot work.
    """
    if folder is not None and folder.exists() and accelerator.is_main_process:
        hold(folder).close()  # what cannot be had is refused before minutes of preparation
    if accelerator.is_main_process:
        require_room(config.output if folder is None or dry else folder)
        require_trackers(config.track)
    session = Session(config, accelerator, dry, quiet)
    terminal = Terminal(quiet, dry)
    observers: list[Observer] = [terminal]
    if config.track and not dry:
        observers.append(Trackers(config, terminal.noticed))
    if not quiet and not dry:
        observers.append(ReportWriter())
    return Run(session, folder or new_folder(config, accelerator), observers)
