"""The arithmetic of hours: operators against PyTorch's own counter and a closed form, and what limits a step."""

import copy
import json

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import hours
from benchmarks.hours import WORKLOADS, Cluster, Steps, predict
from benchmarks.operators import Work, work_of
from benchmarks.results import FOLDER
from tst_fast.models.build import build_model

SIZE = (64, 48)


@pytest.fixture(scope="module")
def pair():
    with torch.device("meta"):
        return [
            build_model(name, 10, {"channels": [width, 2 * width]}) for name, width in (("convnet", 8), ("convnet", 4))
        ]


def test_a_convolution_in_a_closed_form():
    """2 x 9 x 3 x 5 operations for each of 2 x 8 x 8 outputs; image, weights and outputs pass through memory once."""
    with torch.device("meta"):
        layer, images = nn.Conv2d(3, 5, 3, padding=1, bias=False), torch.empty(2, 3, 8, 8)
    work = work_of(lambda: layer(images))
    assert work == Work([2 * 9 * 3 * 5 * 128], [4 * (2 * 3 * 64 + 5 * 3 * 9 + 2 * 5 * 64)])


def test_each_operator_takes_the_longer_of_arithmetic_and_traffic():
    work = Work([10.0, 1.0, 0.0], [1.0, 10.0, 4.0])
    assert work.seconds(flops_rate=2.0, byte_rate=5.0) == 10 / 2 + 10 / 5 + 4 / 5


def test_a_students_step_and_a_searchs_are_what_pytorch_counts(pair):
    """Both networks see two images in the one and one in the other; a search has no gradients of weights."""
    teacher, student = pair
    steps = Steps.of(teacher, student, SIZE)

    def flops(network, backward, **image):
        with FlopCounterMode(display=False) as counter:
            output = network(torch.empty(1, 3, *SIZE, device="meta", **image))
            if backward:
                output.backward(torch.empty_like(output))
        return counter.get_total_flops()

    expected = 2 * (flops(teacher, False) + flops(student, True))
    assert steps.student.total_flops == expected
    frozen = [copy.deepcopy(network).requires_grad_(False) for network in pair]
    assert steps.search.total_flops == sum(flops(network, True, requires_grad=True) for network in frozen)
    assert steps.inference.total_flops == flops(student, False)


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"cores_per_gpu": 1e-6}, "decoding"),
        ({"flops": 1e6}, "GPU"),
        ({"launch": 1e6}, "kernel launches"),
        ({"link": (1.0, 1.0)}, "network"),
    ],
)
def test_the_limit_is_what_was_made_slow(changes, limit, pair, monkeypatch):
    networks = iter(2 * pair)
    monkeypatch.setattr(hours, "network_of", lambda *_: next(networks))
    rows = predict(WORKLOADS[0], Cluster(**changes))
    assert [row["limit"] for row in rows if row["gpus"] > 1] == [limit] * 2


def test_hours_are_steps_times_the_slowest_part(pair, monkeypatch):
    """100 epochs and 2 x 5 of searches of ImageNet, where starting kernels takes longest and nothing else any time."""
    networks = iter(2 * pair)
    monkeypatch.setattr(hours, "network_of", lambda *_: next(networks))
    row = predict(WORKLOADS[0], Cluster(launch=1.0))[1]
    steps = Steps.of(*pair, (224, 224))
    in_an_epoch = 1_281_167 // 256
    seconds = in_an_epoch * (100 * len(steps.student.flops) + 10 * len(steps.search.flops))
    assert row["hours"] == pytest.approx(seconds / 3600, rel=1e-4)


def test_the_error_is_of_what_was_measured():
    rows = json.loads((FOLDER / "hours.json").read_text())["rows"]
    found = {row["name"]: row for row in rows if row["part"] == "checks"}
    loader = next(row for name, row in found.items() if name.endswith("loaders-cpu"))
    assert loader["measured"] == hours.named("loaders-cpu", "DaliLoader")["images_per_second"]
    for row in found.values():
        assert row["error"] == f"{row['predicted'] / row['measured'] - 1:+.0%}"
