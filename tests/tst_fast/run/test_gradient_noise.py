"""The policy's gradients beside their noise, against NumPy and SciPy, and what is said of them."""

import numpy as np
import pytest
import torch
from scipy import stats

from tst_fast.config.policy import PolicyConfig
from tst_fast.policy.policy import Policy
from tst_fast.run.gradient_noise import GradientSignal, Verdict, remedy_of_noise, steps_for_a_signal

NAMES = ["Rotate", "Invert", "Solarize"]  # of which Invert has no level


def _signal(gradients):
    """Of gradients [steps, 3 probabilities and 2 levels]."""
    policy = Policy(NAMES, 1)
    signal = GradientSignal(policy)
    for row in gradients:
        policy.probability_logits.grad = torch.tensor(row[:3], dtype=torch.float32)
        policy.magnitude_logits.grad = torch.tensor(row[3:], dtype=torch.float32)
        signal.add()
    return policy, signal


def test_statistics_are_those_of_a_t_test():
    gradients = np.random.default_rng(0).normal([0.3, -0.1, 0.0, 0.5, -0.4], 1.0, (40, 5))
    statistics = _signal(gradients)[1].statistics()
    expected = -stats.ttest_1samp(gradients, 0).statistic  # a gradient above 0 makes the logit smaller
    assert [statistics[name]["probability"] for name in NAMES] == pytest.approx(expected[:3], rel=1e-4)
    assert [statistics[name]["level"] for name in ("Rotate", "Solarize")] == pytest.approx(expected[3:], rel=1e-4)
    assert "level" not in statistics["Invert"]


def test_no_gradient_is_no_signal():
    for gradients in (np.zeros((5, 5)), np.ones((1, 5)), np.ones((0, 5))):
        statistics = _signal(gradients)[1].statistics()
        assert {value for one in statistics.values() for value in one.values()} == {0.0}


def test_a_state_goes_on():
    gradients = np.random.default_rng(1).normal(size=(6, 5))
    whole = _signal(gradients)[1].statistics()
    _, half = _signal(gradients[:3])
    policy, other = _signal(gradients[:0])
    other.load_state_dict(half.state_dict())
    for row in gradients[3:]:
        policy.probability_logits.grad = torch.tensor(row[:3], dtype=torch.float32)
        policy.magnitude_logits.grad = torch.tensor(row[3:], dtype=torch.float32)
        other.add()
    assert other.statistics() == whole


def _verdict(values, levels=(0.5, 0.5)):
    policy = Policy([f"{name}" for name in NAMES], 1)
    with torch.no_grad():
        policy.magnitude_logits.copy_(torch.tensor(levels).logit())
    named = {"Rotate": values[0:2], "Invert": values[2:3], "Solarize": values[3:5]}
    statistics = {name: dict(zip(("probability", "level"), given, strict=False)) for name, given in named.items()}
    return Verdict.of(statistics, policy).warnings(PolicyConfig())


def test_what_is_said():
    assert _verdict([3.0, -4.0, 0.1, 2.5, 0.0]) == []
    (noise,) = _verdict([1.9, -1.0, 0.1, 0.5, 0.0])
    assert noise.startswith("the search learned little but noise: 0 of 5")
    assert noise.endswith(remedy_of_noise(PolicyConfig()))
    (weakens,) = _verdict([-3.0, -4.0, -2.1, -2.5, -9.0])
    assert weakens.startswith("the search only weakens the augmentation: 5 of 5")
    assert _verdict([3.0, 4.0, 2.1, 2.5, 9.0]) == []  # to strengthen all is no fault
    (small,) = _verdict([3.0, -4.0, 0.1, 2.5, 0.0], levels=(0.04, 0.06))
    assert small.endswith("Rotate")


def test_a_remedy_is_not_what_is_so_already():
    longer = {"listed": "--policy.search_epochs", "interleaved": "--policy.search_steps"}
    for search, option in longer.items():
        told = {
            gates: remedy_of_noise(PolicyConfig(search=search, gates=gates))
            for gates in ("relaxed", "straight_through")
        }
        assert all(option in remedy for remedy in told.values())
        assert ["straight_through" in remedy for remedy in told.values()] == [True, False]


def test_steps_that_a_signal_needs():
    """The statistic grows with the root of the steps; half of the gradients are to reach 2."""
    statistics = {"a": {"probability": 4.0, "level": -1.0}, "b": {"probability": 0.5}}
    assert steps_for_a_signal(statistics, 10) == 40
    assert steps_for_a_signal({"a": {"probability": 0.0}}, 10) is None
