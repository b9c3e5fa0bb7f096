"""Checks of detection's options, networks and data, before anything is trained."""

import numpy as np
import torch
from torch import Tensor

from tst_fast.config.data import BOXES
from tst_fast.config.schema import Config
from tst_fast.errors import Finding, UserError
from tst_fast.models.detection import DenseOutput, DetectionOutput, Detector
from tst_fast.models.frozen import frozen
from tst_fast.tasks.absent_classes import absent
from tst_fast.tasks.dense import check_crop, check_dense_options
from tst_fast.tasks.task import Splits
from tst_pipelines import Dataset, DetectionDataset


def check_options(config: Config) -> None:
    """Refuse options that have no meaning for boxes.

    Raises:
        UserError: with the flag and the remedy.
    """
    check_dense_options(config, BOXES, "fit", "boxes")
    if config.data.window is not None:
        raise UserError("--data.window is for label maps: leave it out")
    if config.policy.objective != "confidence":
        raise UserError(
            f"--policy.objective {config.policy.objective} is not for detection: an object has a score, not a "
            "distribution over classes; give --policy.objective confidence"
        )
    if config.loss.name != "kd" or config.loss.standardise:
        raise UserError(
            "--loss.name dkd, dist and --loss.standardise are for classes that exclude each other, which a detector's "
            "are not: give --loss.name kd and --loss.standardise false"
        )


def look(network: Detector, size: tuple[int, int], role: str) -> DetectionOutput:
    """A detector's output for a blank image of the training images' size, which must suit its strides.

    Args:
        network: in any mode, which it keeps.
        size: height and width, in pixels.
        role: what the network is to the user: "teacher" or "student".

    Raises:
        UserError: the image's sides are no multiples of the detector's coarsest stride, so that anchors would not lie
            where features do; with the next sizes that are.
    """
    parameter = next(network.parameters())
    with frozen(network), torch.no_grad():
        seen: list[tuple[int, int]] = []
        handle = network.backbone.register_forward_hook(lambda _, inputs, maps: seen.extend(map(_sides, maps.values())))
        output = network(torch.zeros(1, 3, *size, dtype=parameter.dtype, device=parameter.device))
        handle.remove()
    rows, columns = seen[-1]
    coarsest = 1 << max(round(np.log2(size[0] / rows)), round(np.log2(size[1] / columns)), 0)
    check_crop(size, coarsest, role)
    return output


def _sides(feature: Tensor) -> tuple[int, int]:
    return feature.shape[2], feature.shape[3]


def check_pair(config: Config, student: DetectionOutput, teacher: DetectionOutput) -> None:
    """Refuse to compare detectors whose outputs do not correspond.

    Args:
        config: of the run.
        student: its output for an image.
        teacher: its output for the same image.

    Raises:
        UserError: the detectors differ in kind or anchors, and answers or boxes are to be compared.
    """
    if config.loss.alpha == config.loss.box_weight == 0:
        return
    remedy = (
        "give --loss.alpha 0 --loss.box_weight 0, and let the student imitate features (--loss.features), or take "
        "detectors of one kind"
    )
    if isinstance(student, DenseOutput) != isinstance(teacher, DenseOutput):
        raise UserError(f"--teacher.name and --student.name are detectors of two kinds: {remedy}")
    if not (isinstance(student, DenseOutput) and isinstance(teacher, DenseOutput)):
        return
    same = student.anchors.shape == teacher.anchors.shape and torch.allclose(student.anchors, teacher.anchors)
    if not same or (student.quality is None) != (teacher.quality is None):
        raise UserError(
            "--teacher.name and --student.name do not look at the same places of an image, or not at the same things: "
            f"{remedy}"
        )


def absent_from_training(splits: Splits) -> str:
    """Classes without a training box, as `absent` tells them."""
    return absent("training box", splits.train.classes, _boxes_by_class(splits.train))


def _boxes_by_class(dataset: Dataset) -> np.ndarray:
    """Boxes of each class but those around crowds, from which nothing is learned: int64 [C]."""
    assert isinstance(dataset, DetectionDataset)
    return np.bincount(dataset.labels[~dataset.crowd], minlength=len(dataset.classes))


def absent_classes(splits: Splits) -> Finding:
    """Whether each class has boxes in both splits."""
    assert isinstance(splits.train, DetectionDataset) and isinstance(splits.test, DetectionDataset)
    names = splits.train.classes
    learned, tested = map(_boxes_by_class, (splits.train, splits.test))
    empty = np.mean(np.diff(splits.train.offsets) == 0)
    found = (
        f"{len(names)} classes, {learned.min():,} to {learned.max():,} boxes each in training ({100 * empty:.0f} % of "
        f"the images have none); {tested.sum():,} boxes to test"
    )
    if remedy := absent_from_training(splits):
        return Finding("classes", "wrong", found, remedy)
    if (tested == 0).any():
        untested = ", ".join(names[label] for label in np.flatnonzero(tested == 0)[:5])
        return Finding("classes", "doubtful", found, f"no test box of {untested}: average precision leaves it out")
    return Finding("classes", "good", found)
