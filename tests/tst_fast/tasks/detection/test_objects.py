"""Which objects are left of an augmented image, and how they are asked for."""

import math

import pytest
import torch

from tests.tst_fast.detectors import objects
from tst_fast.config.policy import PolicyConfig
from tst_fast.policy.augmenter import Geometry
from tst_fast.tasks.detection.objects import moved_objects, object_weights, score_logits
from tst_pipelines import Targets

SIDE = 100


def _moved(box, shift=0.0, erased=(0.0, 0, 0, 0), **policy):
    """A picture of 100 x 100 pixels that has moved to the left by a share of half its width."""
    theta = torch.tensor([[[1.0, 0, shift], [0, 1, 0]]])
    targets = Targets(torch.tensor([[2]]), torch.tensor([[box]], dtype=torch.float32))
    geometry = Geometry(theta, torch.tensor([erased], dtype=torch.float32), (SIDE, SIDE))
    return moved_objects(targets, geometry, PolicyConfig(**policy))


def test_objects_move_with_the_picture():
    moved = _moved([40, 20, 60, 50], shift=0.2)
    torch.testing.assert_close(moved.boxes[0, 0], torch.tensor([30.0, 20, 50, 50]))
    assert moved.labels.tolist() == [[2]]


@pytest.mark.parametrize(
    ("box", "shift", "erased", "policy", "kept"),
    [
        ([0, 20, 20, 40], 0.28, (0, 0, 0, 0), {}, True),  # 14 of 20 pixels are outside
        ([0, 20, 20, 40], 0.32, (0, 0, 0, 0), {}, False),
        ([0, 20, 20, 40], 0.32, (0, 0, 0, 0), {"visible": 0.1}, True),
        ([20, 20, 40, 40], 0.0, (0, 20, 34, 40), {}, True),  # 14 of 20 are erased
        ([20, 20, 40, 40], 0.0, (0, 20, 36, 40), {}, False),
        ([20, 20, 40, 40], 0.4, (0, 0, 20, 100), {}, True),  # where the hole was before the warp, not after
        ([20, 20, 21.9, 40], 0.0, (0, 0, 0, 0), {}, False),  # thin
        ([20, 20, 22, 40], 0.0, (0, 0, 0, 0), {}, True),
    ],
)
def test_what_can_no_longer_be_seen_is_no_object(box, shift, erased, policy, kept):
    moved = _moved(box, shift, erased, **policy)
    assert (moved.labels.item() >= 0) == kept
    assert kept or moved.boxes.tolist() == [[[0.0] * 4]]


def test_the_rule_of_boxes():
    turned = torch.tensor([[[math.cos(0.5), -math.sin(0.5), 0], [math.sin(0.5), math.cos(0.5), 0]]])
    targets = Targets(torch.tensor([[0]]), torch.tensor([[[30.0, 40, 70, 60]]]))
    areas = {}
    for rule in ("hull", "ellipse"):
        geometry = Geometry(turned, torch.zeros(1, 4), (SIDE, SIDE))
        left, top, right, bottom = moved_objects(targets, geometry, PolicyConfig(box_rule=rule)).boxes[0, 0].tolist()
        areas[rule] = right - left, bottom - top
    c, s = math.cos(0.5), math.sin(0.5)
    assert areas["hull"] == pytest.approx((40 * c + 20 * s, 40 * s + 20 * c), rel=1e-5)
    assert areas["ellipse"] == pytest.approx((math.hypot(40 * c, 20 * s), math.hypot(40 * s, 20 * c)), rel=1e-5)


def test_each_object_counts_the_same():
    weights = object_weights(objects().labels)
    torch.testing.assert_close(weights, torch.tensor([[1, 1], [0, 0], [1, 0]]) / 3)
    assert object_weights(torch.full((2, 4), -1)).sum() == 0


def test_a_score_is_the_probability_of_found():
    scores = torch.tensor([[0.0, 0.2], [0.75, 1.0]])
    torch.testing.assert_close(score_logits(scores).softmax(1)[:, 1].view(2, 2), scores)
    assert score_logits(scores).isfinite().all()
