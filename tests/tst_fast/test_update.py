"""The rate as a function of the step, against torch's schedulers."""

import sys

import pytest
import torch

from tst_fast.config import OptimizerConfig
from tst_fast.errors import UserError
from tst_fast.update import learning_rate, make_optimizer


def _rates(make_scheduler, steps, rate):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    scheduler = make_scheduler(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("steps", [40, 237])
def test_one_cycle(steps):
    config = OptimizerConfig(learning_rate=0.3, schedule="one_cycle")
    expected = _rates(
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.3, total_steps=steps + 1, pct_start=0.25, cycle_momentum=False
        ),
        steps,
        0.3,
    )
    ours = [learning_rate(config, step, steps + 1, 10) for step in range(steps)]
    assert ours == pytest.approx(expected)


def test_multi_step():
    config = OptimizerConfig(learning_rate=0.2, schedule="multi_step", milestones=[3, 5])
    expected = _rates(lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5], 0.1), 7, 0.2)
    ours = [learning_rate(config, epoch * 10 + step, 70, 7) for epoch in range(7) for step in range(10)]
    assert ours == pytest.approx([rate for rate in expected for _ in range(10)])


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_trainings_have_finite_rates(steps):
    rates = [learning_rate(OptimizerConfig(), step, steps, 1) for step in range(steps)]
    assert all(0 < rate <= 0.1 for rate in rates)


def test_lamb_without_apex_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "apex", None)
    with pytest.raises(UserError, match=r"needs NVIDIA apex, built from its source: .*github.com/NVIDIA/apex"):
        make_optimizer(torch.nn.Linear(2, 2), OptimizerConfig(name="lamb"))
