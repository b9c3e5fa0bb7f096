"""The order of a run: which network learns in which pass over the images, and when the policy does."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tst_fast.config.schema import Config

Stage = Literal["teacher", "search", "student"]
DRY_STEPS = 2


@dataclass(frozen=True)
class Pass:
    """One pass over the training images, or a part of one.

    Attributes:
        stage: what is trained.
        epoch: of the network that is trained; for a search, of the student that it precedes.
        steps: batches.
        opens_search: whether it is the first pass of a search.
        ends_teacher: whether it is the teacher's last.
    """

    stage: Stage
    epoch: int
    steps: int
    opens_search: bool = False
    ends_teacher: bool = False


def plan(config: Config, steps_per_epoch: int) -> list[Pass]:
    """Every pass of a run, in order: the teacher's, if it comes without weights; then searches and student epochs."""
    passes = []
    if config.distillation.teacher and not config.teacher.trained:
        epochs = config.teacher_training.epochs
        passes += [Pass("teacher", epoch, steps_per_epoch, ends_teacher=epoch == epochs - 1) for epoch in range(epochs)]
    listed = config.policy.search_at if search_of(config) == "listed" else []
    search_steps = max(1, round(config.policy.search_fraction * steps_per_epoch))
    for epoch in range(config.student_training.epochs):
        if epoch in listed:
            searches = range(config.policy.search_epochs)
            passes += [Pass("search", epoch, search_steps, opens_search=i == 0) for i in searches]
        passes.append(Pass("student", epoch, steps_per_epoch))
    return passes


def search_of(config: Config) -> Literal["listed", "interleaved", "none"]:
    """When the policy learns; never where nothing is augmented, or nobody teaches."""
    return config.policy.search if config.distillation.teacher and config.distillation.augment else "none"


def policy_learns(config: Config, student_step: int) -> bool:
    """Whether the policy takes a step on the batch of a student's step, counted from 0 over all its epochs.

    In the interleaved schedule it does so on the first `search_steps` batches of every `search_every`, just before the
    student learns from them. The student's epoch is thus untouched: each image once, and no loader beside its own.
    """
    policy = config.policy
    return search_of(config) == "interleaved" and student_step % policy.search_every < policy.search_steps


def count_steps(config: Config, passes: list[Pass]) -> dict[Stage, int]:
    """How many steps each stage takes in these passes; an interleaved search takes its own within the student's."""
    counts: dict[Stage, int] = {"teacher": 0, "search": 0, "student": 0}
    for one in passes:
        counts[one.stage] += one.steps
    counts["search"] += sum(policy_learns(config, step) for step in range(counts["student"]))
    return counts


def steps_before(passes: Sequence[Pass], index: int, stage: Stage) -> int:
    """Steps of a stage in the passes before one."""
    return sum(one.steps for one in passes[:index] if one.stage == stage)


def search_ends(config: Config, passes: Sequence[Pass], index: int) -> bool:
    """Whether a pass in which the policy learned is the last of its search; an interleaved one ends with the run."""
    following = passes[index + 1 : index + 2]
    if search_of(config) == "interleaved":
        return not following
    return not following or following[0].stage != "search" or following[0].opens_search


def rehearsal(passes: list[Pass]) -> list[Pass]:
    """The first pass of each stage, cut to two steps: what a dry run does."""
    firsts = {one.stage: one for one in reversed(passes)}
    return [
        dataclasses.replace(one, steps=min(DRY_STEPS, one.steps), ends_teacher=one.stage == "teacher")
        for one in passes
        if firsts[one.stage] is one
    ]
