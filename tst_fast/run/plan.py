"""The order of a run: which network learns in which pass over the images, and when the policy does."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

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
        number: of the passes of its stage, from 0.
        opens_search: whether it is the first pass of a search.
        ends_teacher: whether it is the teacher's last.
    """

    stage: Stage
    epoch: int
    steps: int
    number: int = 0
    opens_search: bool = False
    ends_teacher: bool = False

    @property
    def loader_epoch(self) -> int:
        """The epoch of the loader that it takes: what the student sees does not depend on when the policy searches."""
        return self.number + {"student": 0, "search": 1_000_000, "teacher": 2_000_000}[self.stage]


def plan(config: Config, steps_per_epoch: int, found: Sequence[int] = ()) -> list[Pass]:
    """Every pass of a run, in order: the teacher's, if it comes without weights; then searches and student epochs.

    Args:
        config: of the run.
        steps_per_epoch: batches in an epoch.
        found: for `search_at: auto`: the epochs before which there is to be a search, as far as they are known.
    """
    passes: list[Pass] = []
    if config.distillation.teacher and not config.teacher.trained:
        epochs = config.teacher_training.epochs
        passes += [
            Pass("teacher", epoch, steps_per_epoch, number=epoch, ends_teacher=epoch == epochs - 1)
            for epoch in range(epochs)
        ]
    listed = found if config.policy.search_at == "auto" else config.policy.search_at
    listed = listed if search_of(config) == "listed" else []
    searches = 0
    for epoch in range(config.student_training.epochs):
        if epoch in listed:
            for i in range(config.policy.search_epochs):
                steps = search_steps(config, steps_per_epoch)
                passes.append(Pass("search", epoch, steps, number=searches, opens_search=i == 0))
                searches += 1
        passes.append(Pass("student", epoch, steps_per_epoch, number=epoch))
    return passes


def search_steps(config: Config, steps_per_epoch: int) -> int:
    """Batches of a pass of a listed search."""
    return max(1, round(config.policy.search_fraction * steps_per_epoch))


def waits(config: Config) -> bool:
    """Whether searches come when the student is sure enough, and not at listed epochs."""
    return search_of(config) == "listed" and config.policy.search_at == "auto"


def search_is_due(config: Config, confidence: float, searches: int) -> bool:
    """Whether a student as confident as this, 0..1, after so many searches is worth another one."""
    passed = sum(confidence >= threshold for threshold in config.policy.search_confidences)
    return waits(config) and passed > searches


def search_of(config: Config) -> Literal["listed", "interleaved", "none"]:
    """When the policy learns; never where nothing is augmented, or nobody teaches."""
    return config.policy.search if config.distillation.has_policy else "none"


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


def most_steps(config: Config, steps_per_epoch: int, passes: Sequence[Pass]) -> dict[str, int]:
    """Steps of each stage in passes of its own, in the whole run; of a search that waits, if all its searches come."""
    steps: dict[str, int] = {stage: steps_before(passes, len(passes), stage) for stage in get_args(Stage)}
    if waits(config):
        searches = len(config.policy.search_confidences)
        steps["search"] = searches * config.policy.search_epochs * search_steps(config, steps_per_epoch)
    return steps


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
