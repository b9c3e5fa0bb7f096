"""How hard the augmentation may be: as hard for the teacher as under a policy that has learned nothing.

Without it a search can lower its loss by weakening everything, since what is easy for the teacher is easy. With it the
only thing left to choose is which images: the weight of the teacher's term is whatever holds its loss in place, a
controller with a proportional and an integral part, as for a multiplier of Lagrange (Stooke et al., 2020).
"""

import copy
from typing import Any

import torch
from torch import Tensor

from tst_fast.policy.policy import Policy

START, LIMIT = 0.5, 10.0
"""Of the integral part: at the beginning, and at most, to either side."""
INTEGRAL, PROPORTIONAL, MEMORY = 0.05, 6.0, 0.8
"""Gains for a relative error, and what of the smoothed error a step keeps. Ours, from short trials on CIFAR-10."""
PROBABILITIES, LEVELS = (0.02, 0.98), (0.05, 0.98)
"""Where the policy stays: a weight that may be negative would otherwise drive it to where nothing has a slope."""


class Budget:
    """Weighs the teacher's term of the search so that its loss stays at a multiple of the untrained policy's.

    Args:
        policy: the one that is trained.
        share: the multiple, above 0.

    Attributes:
        untrained: a policy that has learned nothing, to draw from.
    """

    def __init__(self, policy: Policy, share: float) -> None:
        self.policy, self.share = policy, share
        self.untrained = copy.deepcopy(policy)
        self.untrained.reset()
        self._integral = policy.probability_logits.new_tensor(START)
        self._smoothed = torch.zeros_like(self._integral)

    @property
    def weight(self) -> Tensor:
        """Of the teacher's term in the next step, a scalar on the device; negative where its loss is to rise."""
        return self._integral + PROPORTIONAL * self._smoothed

    @torch.no_grad()
    def spend(self, loss: Tensor, untrained_loss: Tensor) -> None:
        """Count a step of the search, and keep the policy where it can still move. Waits for nothing.

        Args:
            loss: the teacher's on the batch as the policy augments it, a scalar, mean over all ranks.
            untrained_loss: the same under `untrained`.
        """
        allowed = self.share * untrained_loss
        error = (loss - allowed) / allowed.clamp(min=1e-6)
        self._smoothed = MEMORY * self._smoothed + (1 - MEMORY) * error
        self._integral = (self._integral + INTEGRAL * error).clamp(-LIMIT, LIMIT)
        self.policy.keep_within(PROBABILITIES, LEVELS)

    def state_dict(self) -> dict[str, Any]:
        """Both parts of the controller."""
        return {"integral": self._integral, "smoothed": self._smoothed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        device = self._integral.device
        self._integral, self._smoothed = state["integral"].to(device), state["smoothed"].to(device)
