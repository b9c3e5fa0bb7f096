"""Who is told what a run does: the terminal, metrics.jsonl, trackers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what reads metrics.jsonl does not wait for torch
    from tst_fast.policy.alignment import Fit
    from tst_fast.policy.file import LearnedOperation
    from tst_fast.report.metrics import Event


@dataclass(frozen=True)
class Opening:
    """What is known of a run before its first step.

    Attributes:
        name: of the configuration.
        folder: of the run.
        steps: of each stage in the whole run; of the search, at most.
        taken: of these, before: in a run that is resumed.
        epochs: of teacher and student in the whole run.
        global_step: steps taken before, in all stages.
        images: training and test images.
        loader: what loads them.
        titles: of the task's metrics, by name; the first is the headline.
        fits: how well each encoder of a neural prior follows its operation.
    """

    name: str
    folder: Path
    steps: Mapping[str, int]
    taken: Mapping[str, int]
    epochs: Mapping[str, int]
    global_step: int
    images: tuple[int, int]
    loader: str
    titles: Mapping[str, str]
    fits: Mapping[str, Fit]


class Observer:
    """Is told of a run, in the main process alone; does nothing with what it does not override."""

    def opened(self, opening: Opening) -> None:
        """The run is about to take its first step, or the first after it was resumed."""

    def noticed(self, message: str) -> None:
        """Something that the user should know, in words; perhaps before `opened`."""

    def event(self, event: Event) -> None:
        """Something happened."""

    def ended(self, result: Mapping[str, Any], history: Sequence[Sequence[LearnedOperation]], folder: Path) -> None:
        """The run is over.

        Args:
            result: what result.json holds.
            history: what the policy knew before the search and after each of its passes.
            folder: the run's.
        """

    def close(self) -> None:
        """Let go of everything. Closing twice is allowed."""
