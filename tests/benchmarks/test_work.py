"""The arms of the comparison do the same work, and a loader's rate is counted right."""

import time

import pytest
import torch

from benchmarks import peers, work
from benchmarks.timing import steady
from benchmarks.work import PAPER

CPU = torch.device("cpu")
FACTOR = {"kornia": 1e-4, "torchvision": 0.005}
"""Largest difference of a pixel in 0..1: torchvision's weights of grey have one digit less."""


def test_each_operation_is_drawn_as_often_as_any_other():
    drawn = [name for draw in work.draws(PAPER) for name in draw]
    assert {drawn.count(name) for name in PAPER} == {2}
    assert all(len(set(draw)) == 4 for draw in work.draws(PAPER))


@pytest.mark.parametrize("name", FACTOR)
def test_arms_agree(name):
    try:
        peer = getattr(peers, name)()
    except peers.Unavailable as reason:
        pytest.skip(str(reason))
    images = torch.randint(0, 256, (2, 3, 24, 32), generator=torch.Generator().manual_seed(3)) / 255
    arms = {"ours": work.ours(PAPER, CPU), name: work.theirs(PAPER, peer)}
    assert work.largest_difference(images, arms, "ours")[name] < FACTOR[name]
    for passes in work.PASSES:
        prepare, function = work.timed(arms[name], images, passes)
        function(prepare())


def test_a_library_without_an_operation_is_left_out():
    with pytest.raises(peers.Unavailable, match="lacks Cutout"):
        work.theirs(PAPER, peers.Peer({name: None for name in PAPER if name != "Cutout"}, takes_numbers=True))


def test_the_rate_of_a_stream_is_that_of_its_batches_after_those_prepared_in_advance():
    def stream():
        for _ in range(3):
            yield None  # at once
        while True:
            time.sleep(0.02)
            yield None

    (round_,) = steady({"sleeps": stream}, batch=10, least=0.2, settle=3, rounds=1)["sleeps"]
    assert 50 < round_.rate <= 500 and round_.cpu_seconds_per_image < 0.002
