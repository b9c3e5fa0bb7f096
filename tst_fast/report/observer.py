"""The interface of everything that follows a run: terminal, metrics.jsonl, trackers, report."""

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
    """A run before its first step.

    Attributes:
        name: of the configuration.
        folder: of the run.
        steps: of each stage in the whole run; for the search, an upper bound.
        taken: of these, already taken before a resumption.
        epochs: of teacher and student in the whole run.
        global_step: steps of all stages already taken.
        images: numbers of training and test images.
        loader: name of the loader.
        titles: of the task's metrics, by name; the first is the headline.
        fits: how well each encoder of a neural prior approximates its operation.
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
    """Follows a run, in the main process only; by default every method does nothing."""

    def opened(self, opening: Opening) -> None:
        """The run is about to take its first step, or the first after it was resumed."""

    def noticed(self, message: str) -> None:
        """A message for the user; possibly before `opened`."""

    def event(self, event: Event) -> None:
        """An event of metrics.jsonl."""

    def ended(self, result: Mapping[str, Any], history: Sequence[Sequence[LearnedOperation]], folder: Path) -> None:
        """The run has finished.

        Args:
            result: what result.json holds.
            history: the policy before the search and after each of its passes.
            folder: the run's.
        """

    def close(self) -> None:
        """Release everything. Closing twice is allowed."""
