"""Whether a run that has come some way can go on with other numbers of epochs or searches."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tst_fast.config.schema import Config, replace
from tst_fast.errors import UserError
from tst_fast.run.plan import Pass, plan, steps_before
from tst_fast.run.progress import Progress

Changes = Mapping[str, tuple[Any, Any]]
"""What has changed, by key: what it was, and is; see `origin.differences`."""


def require_same_plan(changed: Changes, config: Config, progress: Progress, steps_per_epoch: int) -> None:
    """Refuse changes under which what is done would have been planned otherwise, or learned at other rates.

    Args:
        changed: of the settings.
        config: as it is now.
        progress: of the run.
        steps_per_epoch: batches in an epoch.

    Raises:
        UserError: it names the setting, and what can be done instead.
    """
    settings = {key.replace(".", "__"): then for key, (then, _) in changed.items() if not key.startswith("files.")}
    planned = plan(replace(config, **settings), steps_per_epoch, progress.searches)
    now = plan(config, steps_per_epoch, progress.searches)
    _require_rates(changed, config, progress, planned)
    if "data.batch_size" in changed:
        then, value = changed["data.batch_size"]
        raise UserError(
            f"--override data.batch_size={value}: the run has taken steps of {then} images, by which its epochs and "
            "learning rates are counted; begin a new run, from its weights with --student.checkpoint FOLDER"
        )
    if _done(planned, progress) != _done(now, progress):
        keys = ", ".join(f"{key} ({then} before, now {value})" for key, (then, value) in changed.items())
        raise UserError(
            f"the run cannot go on with another {keys}: it is past the point where it would have gone otherwise; "
            "begin a new run, from its weights with --student.checkpoint FOLDER"
        )


def _done(passes: list[Pass], progress: Progress) -> list[Pass]:
    """Those that are done, and the one that is under way: which may end its stage, or not."""
    done, under_way = passes[: progress.pass_index], passes[progress.pass_index :][: progress.step > 0]
    return done + [dataclasses.replace(one, ends_teacher=False) for one in under_way]


def _require_rates(changed: Changes, config: Config, progress: Progress, planned: list[Pass]) -> None:
    """Only of multi_step are the rates of a network's epochs the same whatever their number."""
    for stage in ("teacher", "student"):
        key, schedule = f"{stage}_training.epochs", getattr(config, f"{stage}_training").optimizer.schedule
        taken = steps_before(planned, progress.pass_index + (progress.step > 0), stage)
        if key in changed and taken and schedule != "multi_step":
            then, now = changed[key]
            raise UserError(
                f"--override {key}={now}: the {stage} has begun on a schedule of {then} epochs, and {schedule} brings "
                "the learning rate down to the last of them. Only multi_step (without milestones, a constant rate) can "
                f"be given other epochs later; else begin a new run from its weights: --{stage}.checkpoint FOLDER"
            )
