"""Whether a search learned something: the policy's gradients, compared with their noise."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from tst_fast.config.policy import PolicyConfig
from tst_fast.policy.policy import Policy

STANDS_OUT = 2.0
"""Standard errors; by chance alone, one gradient in twenty is as far from 0."""
NOISE, ONE_SIGN, SMALL_LEVEL = 0.1, 0.9, 0.05
FEW = 5
"""Gradients that must stand out before their signs mean anything."""

Statistic = dict[str, dict[str, float]]


class GradientSignal:
    """Mean and spread of each of the policy's gradients, over the steps of one search.

    Args:
        policy: whose parameters have the gradients.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy, self.steps = policy, 0
        self._sums = [torch.zeros_like(value) for value in policy.parameters()]
        self._squares = [torch.zeros_like(value) for value in policy.parameters()]

    @torch.no_grad()
    def add(self) -> None:
        """Count the gradients as they are now; waits for nothing."""
        self.steps += 1
        for value, total, squares in zip(self.policy.parameters(), self._sums, self._squares, strict=True):
            if value.grad is not None:
                total.add_(value.grad)
                squares.addcmul_(value.grad, value.grad)

    def statistics(self) -> Statistic:
        """By operation, of its "probability" and, where it has one, its "level": mean in units of its standard error.

        Positive where the search strengthens. 0 where there was no gradient, or fewer than two steps.
        """
        found = []
        for total, squares in zip(self._sums, self._squares, strict=True):
            mean, steps = total.double() / max(self.steps, 1), self.steps
            variance = (squares.double() / max(steps, 1) - mean.square()).clamp(min=0) * steps / max(steps - 1, 1)
            error = (variance / max(steps, 1)).sqrt()
            found.append(torch.where((error > 0) & (steps > 1), -mean / error, 0).tolist())
        probabilities, levels = found[0], iter(found[1])
        return {
            operation.name: {"probability": value, **({"level": next(levels)} if operation.has_level else {})}
            for operation, value in zip(self.policy.operations, probabilities, strict=True)
        }

    def state_dict(self) -> dict[str, Any]:
        """Sums and count."""
        return {"steps": self.steps, "sums": self._sums, "squares": self._squares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.steps = state["steps"]
        for own, given in ((self._sums, state["sums"]), (self._squares, state["squares"])):
            for value, other in zip(own, given, strict=True):
                value.copy_(other)


@dataclass(frozen=True)
class Verdict:
    """What the statistics of a search say.

    Attributes:
        gradients: how many there are.
        standing_out: how many are over two standard errors from 0.
        weakening: how many of these weaken.
        small_levels: operations that the policy has all but taken away: their levels are below 0.05.
    """

    gradients: int
    standing_out: int
    weakening: int
    small_levels: list[str]

    @classmethod
    def of(cls, statistics: Statistic, policy: Policy) -> "Verdict":
        """Of a search's statistics, and the policy that it left."""
        values = [value for of_operation in statistics.values() for value in of_operation.values()]
        strong = [value for value in values if abs(value) > STANDS_OUT]
        levels = zip(policy.operations, policy.levels().tolist(), strict=True)
        small = [one.name for one, level in levels if one.has_level and abs(level) < SMALL_LEVEL]
        return cls(len(values), len(strong), sum(value < 0 for value in strong), small)

    def warnings(self, config: PolicyConfig) -> list[str]:
        """In words, what should be changed of the search's configuration; nothing where all is well."""
        found = []
        if self.standing_out < NOISE * self.gradients:
            found.append(
                f"the search learned little but noise: {self.standing_out} of {self.gradients} gradients stand out of "
                f"it; {remedy_of_noise(config)}"
            )
        elif self.standing_out >= FEW and self.weakening >= ONE_SIGN * self.standing_out:
            found.append(
                f"the search only weakens the augmentation: {self.weakening} of {self.standing_out} gradients that "
                "stand out of the noise. Search later (--policy.search_at auto), or raise --policy.student_weight"
            )
        if self.small_levels:
            found.append(f"levels below {SMALL_LEVEL}, which change next to nothing: {', '.join(self.small_levels)}")
        return found


def remedy_of_noise(config: PolicyConfig) -> str:
    """What lets a search's gradients stand out of their noise: more of them, of more images, or with less of it."""
    longer = "--policy.search_steps" if config.search == "interleaved" else "--policy.search_epochs"
    gates = ", or give --policy.gates straight_through" if config.gates == "relaxed" else ""
    return f"raise {longer} or --data.batch_size{gates}"


def steps_for_a_signal(statistics: Statistic, steps: int) -> int | None:
    """Steps after which half of the gradients stand out of their noise, from those of a few; None if none ever does."""
    strengths = sorted((abs(value) for one in statistics.values() for value in one.values()), reverse=True)
    median = strengths[len(strengths) // 2]
    return math.ceil(steps * (STANDS_OUT / median) ** 2) if median > 0 else None
