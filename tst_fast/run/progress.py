"""The progress and results of a run: a checkpoint holds these, the learners and the position of the loader."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from tst_fast.policy.file import LearnedOperation
from tst_fast.run.plan import Stage

Learned = list[LearnedOperation]


@dataclass
class Clock:
    """Where the time went, in seconds.

    Attributes:
        total: since the run began, without the time between a stop and its resumption.
        student: in the student's steps.
        search: in the policy's, also where they lie within the student's passes.
        student_images: training images that the student's steps took.
    """

    total: float = 0.0
    student: float = 0.0
    search: float = 0.0
    student_images: int = 0

    def add(self, stage: Stage, seconds: float, searching: float, images: int) -> None:
        """Count a pass, `searching` seconds of which were the policy's if it was the student's."""
        if stage == "search":
            self.search += seconds
        elif stage == "student":
            self.search += searching
            self.student += seconds - searching
            self.student_images += images

    @property
    def search_share(self) -> float | None:
        """The search's share of the time that search and student take together, 0..1."""
        seconds = self.search + self.student
        return self.search / seconds if seconds else None

    @property
    def images_per_second(self) -> float | None:
        """Training images that the student learned from in a second of its own."""
        return self.student_images / self.student if self.student else None


@dataclass
class Progress:
    """How far a run has come, and its results so far.

    Attributes:
        pass_index: of the pass that is under way.
        step: steps taken in it.
        global_step: steps taken in all passes.
        pass_loss: sum of the losses of the pass's steps.
        pass_confidence: sum of the student's mean confidence on plain images, of the pass's steps.
        searches: for `search_at: auto`: the student's epochs that a search precedes.
        history: what the policy knew before the search, and after each of its passes.
        student_scores: of each evaluation of the student, by metric, with its `epoch`.
        teacher_scores: of the teacher, by metric; None before it is evaluated.
        evaluations: of each network that was evaluated, the last: `by_class` and `confusion` as in `Evaluated`.
        gaps: of each search, what `held_out_gaps` found, with its `epoch`.
        clock: where the time went.
    """

    history: list[Learned]
    pass_index: int = 0
    step: int = 0
    global_step: int = 0
    pass_loss: float = 0.0
    pass_confidence: float = 0.0
    searches: list[int] = field(default_factory=list)
    student_scores: list[dict[str, float]] = field(default_factory=list)
    teacher_scores: dict[str, float] | None = None
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def end_pass(self) -> None:
        """Move to the beginning of the next pass."""
        self.pass_index, self.step = self.pass_index + 1, 0
        self.pass_loss = self.pass_confidence = 0.0

    def state_dict(self) -> dict[str, Any]:
        """All of it, in plain Python values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Progress":
        """What `state_dict` gave."""
        history = [[LearnedOperation(**row) for row in rows] for rows in state["history"]]
        return cls(**{**state, "history": history, "clock": Clock(**state["clock"])})
