"""Positions by themselves: no images are needed to know which of them follow."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tst_pipelines import DataError, Share
from tst_pipelines.position import Position
from tst_pipelines.sampling import Sampler, permutation

small = st.integers(1, 6)


class Reader:
    """All ranks of a loader that gives positions in the data set alone."""

    def __init__(self, size: int, batch: int, world: int, training: bool = True, seed: int = 0, name: str = "a"):
        self.samplers = [Sampler(size, batch, Share(training, seed, rank, world)) for rank in range(world)]
        self.positions = [Position(sampler, SimpleNamespace(fingerprint=name)) for sampler in self.samplers]

    def read(self, steps: int) -> list[list[int]]:
        """The global batches of the next steps, also across the ends of epochs."""
        batches = []
        while len(batches) < steps:
            if self.positions[0].step == self.positions[0].steps:
                for position in self.positions:
                    position.next_epoch()
                continue
            pairs = list(zip(self.samplers, self.positions, strict=True))
            batches.append(np.concatenate([sampler.indices(*position.ahead()) for sampler, position in pairs]).tolist())
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
    foreseen = [
        sampler.indices(*position.ahead(ahead))
        for sampler, position in zip(reader.samplers, reader.positions, strict=True)
    ]
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


@given(size=st.integers(36, 90), batch=small, worlds=st.lists(small, min_size=2, max_size=4), steps=st.integers(0, 4))
def test_with_another_global_batch_no_image_is_lost_or_repeated(
    size: int, batch: int, worlds: list[int], steps: int
) -> None:
    """An epoch on several world sizes, one after another, is the permutation's beginning, in its order."""
    state, seen = None, []
    for turn, world in enumerate(worlds):
        reader = Reader(size, batch, world)
        if state:
            reader.load(state, elastic=turn > 0)
        left = reader.positions[0].steps - reader.positions[0].step
        batches = reader.read(left if turn == len(worlds) - 1 else min(steps, left))
        seen += [index for batch in batches for index in batch]
        state = reader.positions[-1].state_dict()
    assert seen == permutation(size, 0, 0)[: len(seen)].tolist()
    assert size - len(seen) < batch * worlds[-1]
    following = reader.read(1)  # the next epoch is a whole one again
    assert following == [permutation(size, 0, 1)[: batch * worlds[-1]].tolist()]
    assert reader.positions[0].steps == reader.samplers[0].steps


def test_another_world_is_refused_with_both_values_and_the_remedy() -> None:
    reader = Reader(60, 4, 2)
    reader.read(3)
    state = reader.positions[0].state_dict()
    with pytest.raises(DataError, match=r"world size 2, now 1: .* or elastically, as the world alone") as raised:
        Reader(60, 4, 1).load(state)
    assert raised.value.options == ("elastic",)
    with pytest.raises(DataError, match=r"batch size 4, now 8; world size 2, now 1: .* elastically"):
        Reader(60, 8, 1).load(state)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 1}, "world size 2, now 1; seed 0, now 1"),
        ({"name": "b"}, "data set 'a', now 'b'; world size"),
        ({"batch": 5}, "batch size 4, now 5; world size"),
        ({"world": 2, "batch": 8}, "batch size 4, now 8: resume with what it was made with$"),
    ],
)
def test_an_elastic_restart_accepts_another_world_alone(other: dict, message: str) -> None:
    state = Reader(60, 4, 2).positions[0].state_dict()
    with pytest.raises(DataError, match=message):
        Reader(**{"size": 60, "batch": 4, "world": 1, **other}).load(state, elastic=True)


def test_evaluation_changes_its_world_between_epochs_only() -> None:
    reader = Reader(60, 4, 2, training=False)
    Reader(60, 4, 1, training=False).load(reader.positions[0].state_dict(), elastic=True)
    reader.read(1)
    with pytest.raises(DataError, match=r"world size 2, now 1: resume with what it was made with$"):
        Reader(60, 4, 1, training=False).load(reader.positions[0].state_dict(), elastic=True)
