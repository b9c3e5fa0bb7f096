"""What every command that runs networks begins with."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from tst_fast.config.schema import Config
from tst_fast.errors import UserError
from tst_fast.report.terminal import Terminal
from tst_fast.run.loop import Run
from tst_fast.run.session import Session
from tst_pipelines import DataError

OPTIONS = {
    "crop": "--data.crop pad",
    "download": "--data.download true",
    "elastic": "--elastic",
    "exclude": "--data.exclude FILE, as `tst-fast verify-data FOLDER --write-exclude FILE` writes it",
    "ids": "--data.ids",
    "ignored": "--data.ignored",
    "loader": "--data.loader dali",
}
"""What to say here where `tst_pipelines` names an option."""


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Errors that the user can put right, and Ctrl-C, end the program with a message alone."""
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except DataError as error:
        flags = " or ".join(OPTIONS[option] for option in error.options)
        sys.exit(f"error: {error} ({flags})" if flags else f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; --resume with the run's folder continues")


def start_accelerator() -> Accelerator:
    """Accelerate as `accelerate launch` configured it.

    Raises:
        UserError: it was told to use float16, which needs loss scaling that two optimizers cannot share.
    """
    accelerator = Accelerator()
    if accelerator.mixed_precision == "fp16":
        raise UserError("fp16 is not supported: launch with --mixed_precision bf16 or no")
    return accelerator


def new_folder(config: Config, prefix: str = "") -> Path:
    """Where a new run is kept: the same folder in each process."""
    name = [f"{prefix}{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"]
    broadcast_object_list(name)
    return Path(config.output) / name[0]


def open_run(config: Config, folder: Path, accelerator: Accelerator, quiet: bool = False, dry: bool = False) -> Run:
    """A run that the terminal shows.

    Args:
        config: what to do.
        folder: the run's folder.
        accelerator: processes, devices and precision.
        quiet: show no tables, and take the progress bars away at the end.
        dry: take two steps of everything, and stop.

    Raises:
        UserError, tst_pipelines.DataError: something of the configuration or the data cannot work.
    """
    return Run(Session(config, accelerator, dry, quiet), folder, [Terminal(quiet, dry)])
