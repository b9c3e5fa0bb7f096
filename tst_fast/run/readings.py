"""Values that steps leave on the device, read together now and then, so that a step waits for nothing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from tst_fast.errors import UserError
from tst_fast.ranks import over_ranks
from tst_fast.run.plan import Stage
from tst_fast.run.update import Scalars
from tst_pipelines import Dataset


@dataclass(frozen=True)
class Reading:
    """What the steps of one stage left since the last reading.

    Attributes:
        stage: whose steps.
        means: over steps and ranks, by name.
        steps: how many.
    """

    stage: Stage
    means: dict[str, float]
    steps: int


class NotFinite(Exception):
    """A step left a value that is NaN or infinite; the same on each rank.

    Attributes:
        stage: of the step.
        step: in its pass.
        indices: of this rank's images in that step, int64; None where another rank's made it.
    """

    def __init__(self, stage: Stage, step: int, indices: np.ndarray | None) -> None:
        super().__init__(f"step {step} of {stage}")
        self.stage, self.step, self.indices = stage, step, indices


def not_finite(found: NotFinite, epoch: int, dataset: Dataset, checkpoints: Path) -> UserError:
    """What the user is told: every rank stops, and those that made the NaN name the batch.

    Args:
        found: where.
        epoch: of the network that was trained.
        dataset: of the images.
        checkpoints: the folder of those from before.
    """
    where = "a batch of another process"
    if found.indices is not None:
        paths = [dataset.path(i) for i in found.indices]
        where = f"the batch of {', '.join(paths[:3])} and {max(len(paths) - 3, 0)} more images"
    flags = "policy" if found.stage == "search" else f"{found.stage}_training.optimizer"
    return UserError(
        f"the loss is not finite at step {found.step} of {found.stage} epoch {epoch}, in {where}. Lower "
        f"--{flags}.learning_rate, or look at these images; checkpoints from before are in {checkpoints}"
    )


class Readings:
    """Collects the scalars of steps.

    Args:
        accelerator: for the mean over ranks.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self._pending: dict[Stage, list[tuple[int, np.ndarray, Scalars]]] = {}

    def add(self, stage: Stage, step: int, indices: np.ndarray, scalars: Scalars) -> None:
        """Keep what a step on these images left."""
        self._pending.setdefault(stage, []).append((step, indices, scalars))

    def read(self) -> list[Reading]:
        """Wait for the devices, and empty the collection.

        Raises:
            NotFinite: on each rank.
        """
        readings = []
        for stage, pending in self._pending.items():
            names = list(pending[0][2])
            own = torch.stack([torch.stack([scalars[name] for name in names]) for _, _, scalars in pending])
            values = over_ranks(self.accelerator, own, "mean").cpu()
            finite = values.isfinite().all(1).tolist()
            if not all(finite):
                first = finite.index(False)  # of any rank
                step, indices, _ = pending[first]
                raise NotFinite(stage, step, None if own[first].isfinite().all() else indices)
            means = dict(zip(names, values.double().mean(0).tolist(), strict=True))
            readings.append(Reading(stage, means, len(values)))
        self._pending.clear()
        return readings
