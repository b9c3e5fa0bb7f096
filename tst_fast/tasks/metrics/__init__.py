"""Evaluation metrics: what is counted over the test images of all ranks, and the scores."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from accelerate import Accelerator

from tst_pipelines import Batch


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found; the same on each rank.

    Attributes:
        scores: of the task's metrics, by name, 0..1; without those that are not defined for the data:
            none where no image has an object, or no pixel a label.
        by_class: of a metric by class, name of the metric to name of the class to value; a class without images is
            left out.
        confusion: int64 [C, C], rows the label and columns the answer; None where the task has none.
    """

    scores: dict[str, float]
    by_class: dict[str, dict[str, float]]
    confusion: np.ndarray | None = None


class Evaluator(Protocol):
    """Counts what the metrics of a task need, over the batches of this rank."""

    def update(self, output: Any, batch: Batch) -> None:
        """Count a network's output on a batch of test images."""
        ...

    def result(self, accelerator: Accelerator) -> Evaluation:
        """What all ranks together counted."""
        ...
