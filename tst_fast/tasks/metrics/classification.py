"""Accuracy: the share of images whose highest logit is their label, or whose label is among the five highest."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import Tensor

from tst_fast.ranks import over_ranks
from tst_fast.tasks.metrics import Evaluation
from tst_pipelines import Batch

LARGEST_CONFUSION = 100
"""Classes up to which the whole confusion matrix is kept: each evaluation writes it to metrics.jsonl."""
TOP = 5
"""Answers of which one may be right, in the top-5 accuracy; of no more classes than these there is none."""


class Accuracy:
    """An `Evaluator` of recognition.

    Args:
        classes: their names.
        device: of the networks' outputs.
    """

    def __init__(self, classes: Sequence[str], device: torch.device) -> None:
        self.classes = classes
        answers = len(classes) if len(classes) <= LARGEST_CONFUSION else 2
        self.counts = torch.zeros(len(classes), answers, dtype=torch.int64, device=device)
        """Rows are labels; columns are answers, or, of many classes, wrong and right."""
        self.among_top = torch.zeros((), dtype=torch.int64, device=device)
        """Images whose label is among the `TOP` answers."""

    def update(self, output: Tensor, batch: Batch) -> None:
        """Count logits [B, C] against int64 labels [B]; nothing waits for the device."""
        answers = output.argmax(1)
        if len(self.classes) > TOP:
            self.among_top += (output.topk(TOP).indices == batch.labels[:, None]).sum()
        if len(self.classes) > LARGEST_CONFUSION:
            answers = (answers == batch.labels).long()
        cells = batch.labels * self.counts.shape[1] + answers
        self.counts.view(-1).index_add_(0, cells, torch.ones_like(cells))

    def result(self, accelerator: Accelerator) -> Evaluation:
        """Accuracy over all images, and of each class's; of more than five classes top-5 accuracy, too."""
        counts = over_ranks(accelerator, self.counts, "sum").cpu()
        whole = len(self.classes) <= LARGEST_CONFUSION
        right, every = counts.diagonal() if whole else counts[:, 1], counts.sum(1)
        by_class = {
            name: correct / number
            for name, correct, number in zip(self.classes, right.tolist(), every.tolist(), strict=True)
            if number
        }
        images = every.sum().item()
        scores = {"accuracy": right.sum().item() / images}
        if len(self.classes) > TOP:
            scores["top5_accuracy"] = over_ranks(accelerator, self.among_top, "sum").item() / images
        return Evaluation(scores, {"accuracy": by_class}, counts.numpy() if whole else None)
