"""Positions by themselves: no images are needed to know which of them follow."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tst_pipelines import DataError, Share
from tst_pipelines.position import Position
from tst_pipelines.sampling import Sampler

small = st.integers(1, 6)


class Reader:
    """All ranks of a loader that gives positions in the data set alone."""

    def __init__(self, size: int, batch: int, world: int, training: bool = True, seed: int = 0, name: str = "a"):
        samplers = [Sampler(size, batch, Share(training, seed, rank, world)) for rank in range(world)]
        self.positions = [Position(sampler, SimpleNamespace(fingerprint=name)) for sampler in samplers]

    def read(self, steps: int) -> list[list[int]]:
        """The global batches of the next steps, also across the ends of epochs."""
        batches = []
        while len(batches) < steps:
            if self.positions[0].step == self.positions[0].steps:
                for position in self.positions:
                    position.next_epoch()
                continue
            batches.append(np.concatenate([position.indices() for position in self.positions]).tolist())
            for position in self.positions:
                position.advance()
        return batches

    def load(self, state: dict, **how: bool) -> Reader:
        for position in self.positions:
            position.load_state_dict(state, **how)
        return self


@given(size=st.integers(1, 60), batch=small, world=small, stop=st.integers(0, 30), ahead=st.integers(0, 30))
def test_a_batch_is_foreseen_from_any_position(size: int, batch: int, world: int, stop: int, ahead: int) -> None:
    assume(batch * world <= size)
    reader = Reader(size, batch, world)
    reader.read(stop)
    foreseen = [position.indices(ahead) for position in reader.positions]
    assert reader.read(ahead + 1)[-1] == np.concatenate(foreseen).tolist()


@given(size=st.integers(36, 90), batch=small, before=small, after=small, stop=st.integers(0, 40))
def test_the_same_global_batches_follow_an_elastic_restart(
    size: int, batch: int, before: int, after: int, stop: int
) -> None:
    assume(batch * before % after == 0)
    unstopped = Reader(size, batch, before).read(stop + 8)
    stopped = Reader(size, batch, before)
    assert stopped.read(stop) == unstopped[:stop]
    resumed = Reader(size, batch * before // after, after).load(stopped.positions[0].state_dict(), elastic=True)
    assert resumed.read(8) == unstopped[stop:]


def test_another_world_is_refused_with_both_values_and_the_remedy() -> None:
    reader = Reader(60, 4, 2)
    reader.read(3)
    with pytest.raises(DataError, match=r"size 4, now 8; world size 2, now 1: .* elastically, as the global") as raised:
        Reader(60, 8, 1).load(reader.positions[0].state_dict())
    assert raised.value.options == ("elastic",)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 1}, "world size 2, now 1; seed 0, now 1"),
        ({"name": "b"}, "data set 'a', now 'b'; batch size"),
        ({"batch": 4}, "world size 2, now 1: resume with what it was made with$"),
        ({"world": 2}, "batch size 4, now 8: resume with what it was made with$"),
        ({"training": False}, "training flag True, now False; batch size"),
    ],
)
def test_an_elastic_restart_accepts_another_share_of_the_same_batches_alone(other: dict, message: str) -> None:
    state = Reader(60, 4, 2).positions[0].state_dict()
    with pytest.raises(DataError, match=message) as raised:
        Reader(**{"size": 60, "batch": 8, "world": 1, **other}).load(state, elastic=True)
    assert raised.value.options == ()


def test_evaluation_cannot_change_its_world() -> None:
    """Each rank is somewhere else in a share of its own."""
    state = Reader(60, 4, 2, training=False).positions[0].state_dict()
    with pytest.raises(DataError, match=r"world size 2, now 1: resume with what it was made with$"):
        Reader(60, 8, 1, training=False).load(state, elastic=True)
