"""Mean intersection over union: how far the areas of a network's classes are those of the labels."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator

from tst_fast.losses.pixels import IGNORED
from tst_fast.models.segmentation import SegmentationOutput
from tst_fast.ranks import over_ranks
from tst_fast.tasks.metrics import Evaluation
from tst_pipelines import Batch


class ConfusionMatrix:
    """An `Evaluator` of segmentation, for pixels at the size of the label maps.

    Args:
        classes: their names.
        device: of the networks' outputs.
    """

    def __init__(self, classes: Sequence[str], device: torch.device) -> None:
        self.classes = classes
        self.counts = torch.zeros(len(classes) ** 2 + 1, dtype=torch.int64, device=device)
        """Pixels by label and answer, row by row, and those without a label."""

    def update(self, output: SegmentationOutput, batch: Batch) -> None:
        """Count an output against labels uint8 [B, H, W], 255 where there is none."""
        _, height, width = batch.labels.shape
        answers = output.label_map((height, width))
        for label, answer in zip(batch.labels, answers, strict=True):
            cells = label.long() * len(self.classes) + answer
            cells = torch.where(label == IGNORED, len(self.counts) - 1, cells)
            self.counts += torch.bincount(cells.flatten(), minlength=len(self.counts))

    def result(self, accelerator: Accelerator) -> Evaluation:
        """Mean IoU, pixel accuracy and each class's IoU, from the counts of all ranks.

        A class that was neither labelled nor answered is left out; one that was answered though never labelled counts
        0, as in Cityscapes' evaluation. Without a pixel that has a label there are no scores.
        """
        counts = over_ranks(accelerator, self.counts, "sum")[:-1].view(len(self.classes), -1).cpu()
        if not counts.any():
            return Evaluation({}, {})
        both, labelled, answered = counts.diagonal(), counts.sum(1), counts.sum(0)
        either = labelled + answered - both
        iou = {
            name: shared / area
            for name, shared, area in zip(self.classes, both.tolist(), either.tolist(), strict=True)
            if area
        }
        scores = {
            "mean_iou": sum(iou.values()) / len(iou),
            "pixel_accuracy": both.sum().item() / labelled.sum().item(),
        }
        return Evaluation(scores, {"iou": iou}, counts.numpy())
