"""The gap on held-out images is a function of its seed, and averages over a draw for each image."""

import dataclasses

import pytest
import torch

from tst_fast.config.schema import replace
from tst_fast.policy.policy import Policy
from tst_fast.run.held_out_gap import held_out_gaps


@pytest.fixture
def open_session(whole_run, tiny_config, make_run):
    """A function from flags to a session with the networks of a whole run."""

    def make(*flags):
        checkpoints = [f"--{role}.checkpoint={whole_run.folder / role}.safetensors" for role in ("teacher", "student")]
        return make_run(tiny_config(*checkpoints, *flags)).session

    return make


def test_a_seed_gives_the_same_gap_again_and_another_another(open_session, whole_run):
    session = open_session(f"--policy.init={whole_run.folder / 'policy.json'}")
    found = []
    for seed, state_before in ((7, 1), (7, 2), (8, 1)):
        torch.manual_seed(state_before)
        session.config = replace(session.config, seed=seed)
        found.append(held_out_gaps(session))
    assert found[0] == found[1] != found[2]
    assert found[0]["trained"] != found[0]["untrained"]


def test_where_nothing_counts_there_is_no_gap(open_session):
    """As where every object has left its image."""
    session = open_session()
    decide = session.task.decisions

    def nothing(*arguments):
        asked = decide(*arguments)
        return dataclasses.replace(asked, weights=torch.zeros(len(asked.labels)))

    session.task.decisions = nothing
    assert held_out_gaps(session)["trained"] == {"teacher": 0.0, "student": 0.0, "gap": 0.0}


def test_both_policies_are_drawn_from_alike(open_session):
    """One that has learned nothing yet has the gap of one that has learned nothing."""
    found = held_out_gaps(open_session())
    assert found["trained"] == found["untrained"]


def test_each_image_has_a_draw_of_its_own(open_session, monkeypatch):
    """Also where the images of a training batch share theirs."""
    session, draw, drawn = open_session("--policy.shared_draw=true"), Policy.draw, []

    def recorded(self, batch_size):
        result = draw(self, batch_size)
        drawn.append(result.operations.sort(dim=1).values)
        return result

    monkeypatch.setattr(Policy, "draw", recorded)
    held_out_gaps(session)
    assert min(len(operations.unique(dim=0)) / len(operations) for operations in drawn) > 0.5
    (shared,) = session.policy.draw(50).operations.unique(dim=0)  # the run's own policy is as it was
    assert shared.shape == (4,)
