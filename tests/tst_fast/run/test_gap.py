"""The gap on held-out images is a function of its seed, and averages over a draw for each image."""

import pytest
import torch
from tst_fast.run.gap import confidence_gaps

from tst_fast.policy.policy import Policy


@pytest.fixture
def networks(whole_run, tiny_config, make_run):
    """A function from flags to the arguments of `confidence_gaps`, with the networks of a whole run."""

    def make(*flags):
        checkpoints = [f"--{role}.checkpoint={whole_run.folder / role}.safetensors" for role in ("teacher", "student")]
        run = make_run(tiny_config(*checkpoints, *flags))
        return run.augmenter, run.teacher, run.student, run.test_loader, run.accelerator

    return make


def test_a_seed_gives_the_same_gap_again_and_another_another(networks, whole_run):
    arguments = networks(f"--policy.init={whole_run.folder / 'policy.json'}")
    found = []
    for seed, state_before in ((7, 1), (7, 2), (8, 1)):
        torch.manual_seed(state_before)
        found.append(confidence_gaps(*arguments, seed=seed))
    assert found[0] == found[1] != found[2]
    assert found[0]["trained"] != found[0]["untrained"]


def test_both_policies_are_drawn_from_alike(networks):
    """One that has learned nothing yet has the gap of one that has learned nothing."""
    found = confidence_gaps(*networks(), seed=0)
    assert found["trained"] == found["untrained"]


def test_each_image_has_a_draw_of_its_own(networks, monkeypatch):
    """Also where the images of a training batch share theirs."""
    arguments, draw, drawn = networks(), Policy.draw, []

    def recorded(self, batch_size):
        result = draw(self, batch_size)
        drawn.append(result.operations.sort(dim=1).values)
        return result

    monkeypatch.setattr(Policy, "draw", recorded)
    confidence_gaps(*arguments, seed=0)
    assert min(len(operations.unique(dim=0)) / len(operations) for operations in drawn) > 0.5
    (shared,) = arguments[0].policy.draw(50).operations.unique(dim=0)  # the run's own policy is as it was
    assert shared.shape == (4,)
