"""Runs that are begun, continued or found finished, so that the same command can be given again after a stop."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from tst_fast.config import reading
from tst_fast.config.schema import Config
from tst_fast.errors import UserError
from tst_fast.run.origin import differences
from tst_fast.run.start import open_run


def result_of(config: Config, folder: Path, accelerator: Accelerator) -> dict[str, Any]:
    """What a run's result.json holds: found, if it has ended; else it is continued, or begun.

    Args:
        config: of the run.
        folder: the run's.
        accelerator: processes, devices and precision.

    Raises:
        UserError, tst_pipelines.DataError: the folder has a run of other settings, or the run cannot go on.
    """
    require_the_same(config, folder)
    file = folder / "result.json"
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    with closing(open_run(config, folder, accelerator, quiet=True)) as run:
        if any(folder.glob("checkpoints/*.pt")):
            run.resume()
        return run.run()


def require_the_same(config: Config, folder: Path) -> None:
    """Refuse a folder with a run of other settings.

    Raises:
        UserError: it names them.
    """
    if not (folder / "config.yaml").exists():
        return
    saved = reading.settings_begun_with(folder / "config.yaml", config)
    different = list(differences(saved, reading.settings_of(config)))
    if different:
        raise UserError(
            f"{folder} holds a run of other settings ({', '.join(different[:5])}): give another folder, or remove it"
        )
