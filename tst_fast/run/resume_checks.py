"""Whether a run that has come some way can go on with other settings."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tst_fast.config.schema import Config, replace
from tst_fast.errors import UserError
from tst_fast.run.plan import Pass, plan
from tst_fast.run.progress import Progress

Changes = Mapping[str, tuple[Any, Any]]
"""What has changed, by key: what it was, and is; see `origin.differences`."""
FIXED = {
    "data.batch_size": "epochs and learning rates are counted in steps of as many images",
    "policy.operations": "the policy has learned a probability and a level of each, in this order",
    "policy.sign": "it decides what the numbers mean that the policy has learned",
}
"""Settings that stay as they were in the whole of a run, and why."""
NEW_RUN = "begin a new run, from its weights with --student.checkpoint FOLDER"


def require_same_past(changed: Changes, config: Config, progress: Progress, steps_per_epoch: int) -> None:
    """Refuse changes under which the steps taken so far would have been others.

    Args:
        changed: of the settings.
        config: as it is now.
        progress: of the run.
        steps_per_epoch: batches in an epoch.

    Raises:
        UserError: it names the setting, and what can be done instead.
    """
    for key, why in FIXED.items():
        if key in changed:
            then, now = changed[key]
            raise UserError(f"--override {key}={now}: the run began with {then}, and {why}; {NEW_RUN}")
    settings = {key.replace(".", "__"): then for key, (then, _) in changed.items() if not key.startswith("files.")}
    before = _begun(plan(replace(config, **settings), steps_per_epoch, progress.searches), progress)
    for stage in ("teacher", "student"):
        if any(one.stage == stage for one in before):
            _require_same_optimizer(stage, changed, config)
    if before != _begun(plan(config, steps_per_epoch, progress.searches), progress):
        keys = ", ".join(f"{key} ({then} before, now {now})" for key, (then, now) in changed.items())
        raise UserError(
            f"the run cannot go on with another {keys}: it is past the point where it would have gone otherwise; "
            f"{NEW_RUN}"
        )


def _begun(passes: list[Pass], progress: Progress) -> list[Pass]:
    """Those that are over, and the one that is under way: whether it is the teacher's last may still change."""
    over = progress.pass_index
    under_way = passes[over : over + 1] if progress.step else []
    return passes[:over] + [dataclasses.replace(one, ends_teacher=False) for one in under_way]


def _require_same_optimizer(stage: str, changed: Changes, config: Config) -> None:
    """Of a network that has begun to learn; only multi_step has rates that do not depend on the number of epochs."""
    key, schedule = f"{stage}_training.epochs", getattr(config, f"{stage}_training").optimizer.schedule
    if key in changed and schedule != "multi_step":
        then, now = changed[key]
        raise UserError(
            f"--override {key}={now}: the {stage} has begun on a schedule of {then} epochs, and {schedule} brings the "
            "learning rate down to the last of them. Only multi_step (without milestones, a constant rate) can be "
            f"given other epochs later; else begin a new run from its weights: --{stage}.checkpoint FOLDER"
        )
    if (key := f"{stage}_training.optimizer.name") in changed:
        then, now = changed[key]
        raise UserError(
            f"--override {key}={now}: the {stage} has begun with {then}, whose state {now} cannot use; {NEW_RUN}"
        )
