"""What steps leave, averaged over steps and ranks as NumPy does it, and what is not finite, traced to its step."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tst_fast.run.readings import NotFinite, Readings

OWN, OTHER = np.random.default_rng(0).normal(size=(2, 3, 2))  # ranks, steps, values
NAMES = "loss", "confidence"


class Ranks:
    """Stands for Accelerate with two ranks: this one's values and those that the other one has at the same steps."""

    def __init__(self, other):
        self.other = torch.from_numpy(other)

    def reduce(self, values, reduction):
        return {"mean": (values + self.other[: len(values)]) / 2}[reduction]


def _add(readings, values, stage="student"):
    for step, row in enumerate(values):
        scalars = {name: torch.tensor(value) for name, value in zip(NAMES, row, strict=True)}
        readings.add(stage, step, np.arange(step, step + 4), scalars)


def test_means_are_over_steps_and_ranks():
    readings = Readings(Ranks(OTHER))
    assert readings.read() == []
    _add(readings, OWN)
    (found,) = readings.read()
    expected = np.stack([OWN, OTHER]).mean(axis=(0, 1))
    assert found.means == {name: pytest.approx(value) for name, value in zip(NAMES, expected, strict=True)}
    assert (found.stage, found.steps) == ("student", 3)
    assert readings.read() == []  # each is read once


def test_each_stage_has_its_own_means():
    alone = SimpleNamespace(reduce=lambda values, reduction: values)
    readings = Readings(alone)
    _add(readings, OWN[:1], "search")
    _add(readings, OWN[1:], "student")
    search, student = readings.read()
    assert (search.stage, search.steps, search.means["loss"]) == ("search", 1, pytest.approx(OWN[0, 0]))
    assert (student.stage, student.steps, student.means["loss"]) == ("student", 2, pytest.approx(OWN[1:, 0].mean()))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("here", [True, False], ids=["here", "on the other rank"])
def test_what_is_not_finite_stops_every_rank_and_names_the_images_of_its_own(value, here):
    spoilt = OWN.copy()
    spoilt[1:, 1] = value  # and it stays so
    readings = Readings(Ranks(OTHER if here else spoilt))
    _add(readings, spoilt if here else OWN)
    with pytest.raises(NotFinite) as found:
        readings.read()
    assert found.value.stage == "student"
    assert found.value.step == 1
    assert (found.value.indices is not None) == here
    if here:
        assert found.value.indices.tolist() == [1, 2, 3, 4]


def test_the_gradient_that_ranks_share_does_not_say_whose_images_spoilt_it():
    def read(own_loss, other_loss):
        readings = Readings(Ranks(np.array([[other_loss, np.nan]])))
        scalars = {"loss": torch.tensor(own_loss), "gradient_norm": torch.tensor(np.nan)}
        readings.add("student", 0, np.arange(4), scalars)
        with pytest.raises(NotFinite) as found:
            readings.read()
        return found.value

    assert read(1.0, np.nan).indices is None and read(np.nan, 1.0).indices is not None
    either = read(1.0, 1.0)
    assert either.what == "the gradient norm" and either.indices is not None
