"""Scalars that steps leave on the device, read together now and then, so that no step waits for the device."""

from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from tst_fast.ranks import over_ranks
from tst_fast.run.not_finite import NotFinite
from tst_fast.run.plan import Stage
from tst_fast.run.update import Scalars

SHARED = ("gradient_norm",)
"""Values that ranks make together: one rank's NaN is in them on each."""
_Pending = list[tuple[int, np.ndarray, Scalars]]
"""Of steps: the step in its pass, the positions of its images, and its values."""


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


class Readings:
    """Collects the scalars of steps.

    Args:
        accelerator: for the mean over ranks.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self._pending: dict[Stage, _Pending] = {}

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
            names, own = _table(pending)
            values = over_ranks(self.accelerator, own, "mean").cpu()
            _require_finite(stage, pending, values, own)
            means = dict(zip(names, values.double().mean(0).tolist(), strict=True))
            readings.append(Reading(stage, means, len(values)))
        self._pending.clear()
        return readings

    def require_finite(self) -> None:
        """Look at this rank's own values alone, and keep them: for an error in a step that NaN may be the cause of.

        Raises:
            NotFinite: a step left a value that is not finite.
        """
        for stage, pending in self._pending.items():
            own = _table(pending)[1]
            _require_finite(stage, pending, own.cpu(), own)


def _table(pending: _Pending) -> tuple[list[str], Tensor]:
    """The names of the values, and the values, a row for each step."""
    names = list(pending[0][2])
    return names, torch.stack([torch.stack([scalars[name] for name in names]) for _, _, scalars in pending])


def _require_finite(stage: Stage, pending: _Pending, values: Tensor, own: Tensor) -> None:
    """Refuse the first row that is not finite on any rank; `own` are this rank's values."""
    finite = values.isfinite()
    if finite.all():
        return
    first = finite.all(1).tolist().index(False)
    step, indices, scalars = pending[first]
    what = "the " + list(scalars)[finite[first].tolist().index(False)].replace("_", " ")
    apart = [name not in SHARED for name in scalars]
    by_another = own[first].cpu().isfinite()[apart].all() and not finite[first][apart].all()
    raise NotFinite(stage, step, what, None if by_another else indices)
