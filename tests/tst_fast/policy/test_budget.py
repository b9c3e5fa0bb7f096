"""A budget holds the teacher's loss where the untrained policy had it, whatever the search would like."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from tests.tst_fast.run.test_search import _search
from tst_fast.policy.budget import LEVELS, PROBABILITIES, Budget
from tst_fast.policy.policy import Policy
from tst_pipelines import Batch


class _Halves(nn.Module):
    """Surer of class 1 the brighter the left half is than the right; or, blind to inversion, the more they differ."""

    def __init__(self, blind):
        super().__init__()
        self.blind = blind

    def forward(self, images):
        difference = images[..., :4].mean(dim=(1, 2, 3)) - images[..., 4:].mean(dim=(1, 2, 3))
        score = 4 * ((difference**2 + 1e-4).sqrt() if self.blind else difference) - 1.5
        return torch.stack([-score, score], dim=1)


def _halves(budget):
    """Inversion fools the student alone; low contrast makes it hard for both."""
    search = _search(["Invert", "Contrast"], learning_rate=0.1, budget=budget)
    search.teacher, search.student = _Halves(True), _Halves(False)
    return search


def _batch(size=64):
    images = torch.full((size, 8, 8, 3), 64, dtype=torch.uint8)
    images[:, :, :4] = 192
    return Batch(images, torch.ones(size, dtype=torch.int64), np.arange(size))


def _weights(errors, scale=1.0, share=1.0):
    """The teacher's weight after each of these relative errors, when its loss is allowed to be `scale * share`."""
    budget, untrained = Budget(Policy(["Invert", "Color"], 1), share), torch.tensor(scale)
    found = []
    for error in errors:
        budget.spend(share * untrained * (1 + error), untrained)
        found.append(budget.weight.item())
    return found


def test_weight_rises_while_the_teacher_pays_too_much_and_may_become_negative():
    rising, falling = _weights([0.2] * 20), _weights([-0.2] * 20)
    assert rising == sorted(rising) and rising[0] > 0.5
    assert falling == sorted(falling, reverse=True) and falling[-1] < 0
    # proportional and integral parts of a constant error, in closed form
    assert rising[-1] == pytest.approx(0.5 + 20 * 0.05 * 0.2 + 6.0 * 0.2 * (1 - 0.8**20), rel=1e-5)


def test_weight_does_not_depend_on_the_unit_of_the_loss():
    errors = [0.3, -0.1, 0.2]
    assert _weights(errors, scale=0.01) == pytest.approx(_weights(errors, scale=100.0, share=2.0), rel=1e-4)


def _spent(search):
    """The teacher's mean loss under the policy, as a multiple of that under the untrained one."""
    watch = _halves(1.0)
    means = []
    for _ in range(10):
        watch.policy.load_state_dict(search.policy.state_dict())
        report = watch.step(_batch(256))
        means.append([report["teacher_loss"], report["untrained_teacher_loss"]])
    spent, allowed = torch.tensor(means).mean(dim=0)
    return (spent / allowed).item()


def _searched(budget):
    torch.manual_seed(0)
    search = _halves(budget)
    for _ in range(250):
        search.step(_batch())
    return search


def test_search_under_a_budget_chooses_and_does_not_weaken():
    free = _searched(None)
    assert _spent(free) < 0.9 and free.policy.levels()[1] < 0.1
    for share in (1.0, 1.8):
        held = _searched(share)
        assert _spent(held) == pytest.approx(share, rel=0.1)
        assert held.policy.probabilities()[0] > 0.65  # what only the student is fooled by is still found


def test_policy_stays_where_it_has_a_slope_also_with_learned_signs():
    for sign in ("random", "learned"):
        policy = Policy(["Rotate", "Invert"], 1, sign=sign)
        with torch.no_grad():
            policy.probability_logits.copy_(torch.tensor([30.0, -30.0]))
            policy.magnitude_logits.fill_(-30.0)
        Budget(policy, 1.0).spend(torch.tensor(1.0), torch.tensor(1.0))
        assert policy.probabilities().tolist() == pytest.approx([PROBABILITIES[1], PROBABILITIES[0]])
        lowest = LEVELS[0] if sign == "random" else -LEVELS[1]
        assert policy.levels()[0].item() == pytest.approx(lowest)


def test_search_resumed_under_a_budget_goes_on_as_if_nothing_had_happened():
    torch.manual_seed(0)
    whole = _halves(1.0)
    for _ in range(5):
        whole.step(_batch())
    state = copy.deepcopy(whole.state_dict())
    resumed = _halves(1.0)
    resumed.load_state_dict(state)
    found = []
    for search in (whole, resumed):
        torch.manual_seed(1)
        found.append([search.step(_batch())["teacher_weight"].item() for _ in range(3)])
    assert found[0] == found[1] and len(set(found[0])) == 3
