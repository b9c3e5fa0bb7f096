"""Distillation losses between two dense or two two-stage detectors."""

from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from tst_fast.config.schema import LossConfig
from tst_fast.losses.dense_detection import box_distance, class_distance, quality_distance
from tst_fast.losses.distillation import kd
from tst_fast.losses.search import total
from tst_fast.models.detection import DenseOutput, TwoStageOutput

REGIONS = 256
"""Of each image, of those that the teacher proposes, the best: what both networks are asked about."""


def dense_distance(student: DenseOutput, teacher: DenseOutput, loss: LossConfig) -> Tensor:
    """Classes and centreness, and boxes, location by location: a scalar.

    Args:
        student: at the teacher's anchors.
        teacher: without a gradient.
        loss: weights.
    """
    distance = loss.alpha * class_distance(student.logits.float(), teacher.logits.float())
    if student.quality is not None and teacher.quality is not None:
        qualities = student.quality.float(), teacher.quality.float()
        distance = distance + loss.alpha * quality_distance(*qualities, teacher.logits.float())
    if loss.box_weight:
        distance = distance + loss.box_weight * box_distance(student.boxes, teacher.boxes, teacher.logits.float())
    return distance


def two_stage_distance(student: TwoStageOutput, teacher: TwoStageOutput, loss: LossConfig) -> Tensor:
    """Classes and boxes of the regions that the teacher proposes: a scalar.

    Classes exclude each other, so that theirs is Hinton's term, the mean over regions. Boxes are those of the class
    that the teacher sees there, weighed by how sure it is that there is an object.

    Args:
        student: of the same images.
        teacher: without a gradient.
        loss: weights and temperature.
    """
    regions = [proposals[:REGIONS] for proposals in teacher.proposals]
    answers, boxes = student.regions(regions)
    wanted, places = teacher.regions(regions)
    distance = loss.alpha * kd(answers, wanted, wanted.argmax(dim=1), tau=loss.tau)
    if loss.box_weight:
        seen, label = wanted.softmax(dim=1)[:, 1:].max(dim=1)
        chosen = (label + 1)[:, None, None].expand(-1, 1, 4)
        pair = (each.gather(1, chosen).squeeze(1) for each in (boxes, places))
        losses = generalized_box_iou_loss(*pair, reduction="none")
        distance = distance + loss.box_weight * total(losses, seen / seen.sum().clamp(min=1))
    return distance
