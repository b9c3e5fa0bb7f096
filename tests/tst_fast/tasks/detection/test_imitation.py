"""What a detector imitates of another, put together by hand from what both say."""

import pytest
import torch
from torchvision.ops import generalized_box_iou

from tests.tst_fast.detectors import images, tiny
from tst_fast.config.schema import LossConfig
from tst_fast.losses.dense_detection import box_distance, class_distance, quality_distance
from tst_fast.tasks.detection.imitation import dense_distance, two_stage_distance


def _outputs(kind):
    return [tiny(kind, seed)(images()) for seed in (0, 1)]


@pytest.mark.parametrize("kind", ["fcos", "retinanet"])
def test_of_dense_detectors(kind):
    """Classes and centreness have one weight, boxes another."""
    student, teacher = _outputs(kind)
    classes = class_distance(student.logits, teacher.logits)
    boxes = box_distance(student.boxes, teacher.boxes, teacher.logits)
    if kind == "fcos":
        classes = classes + quality_distance(student.quality, teacher.quality, teacher.logits)
    found = dense_distance(student, teacher, LossConfig(alpha=0.7, box_weight=0.3))
    torch.testing.assert_close(found, 0.7 * classes + 0.3 * boxes)
    torch.testing.assert_close(dense_distance(student, teacher, LossConfig(alpha=1.0, box_weight=0.0)), classes)


def test_of_two_stages():
    """On the teacher's regions, by loops over them."""
    student, teacher = _outputs("faster_rcnn")
    regions = [proposals[:256] for proposals in teacher.proposals]
    answers, boxes = student.regions(regions)
    wanted, places = teacher.regions(regions)
    tau, divergence, distance, seen = 2.0, 0.0, 0.0, 0.0
    for row in range(len(wanted)):
        p, q = (wanted[row] / tau).softmax(0), (answers[row] / tau).softmax(0)
        divergence += tau**2 * (p * (p / q).log()).sum().item() / len(wanted)
        probability, label = wanted[row].softmax(0)[1:].max(0)
        overlap = generalized_box_iou(boxes[row, label + 1][None], places[row, label + 1][None])[0, 0]
        distance += (probability * (1 - overlap)).item()
        seen += probability.item()
    found = two_stage_distance(student, teacher, LossConfig(alpha=0.7, tau=tau, box_weight=0.3)).item()
    assert found == pytest.approx(0.7 * divergence + 0.3 * distance / max(seen, 1), rel=1e-4)


def test_a_network_that_is_its_teacher_has_nothing_to_imitate():
    for kind, distance in (("retinanet", dense_distance), ("faster_rcnn", two_stage_distance)):
        output = tiny(kind)(images())
        assert distance(output, output, LossConfig()).item() == pytest.approx(0, abs=1e-5)
