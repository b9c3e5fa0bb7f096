"""Mean IoU and its like against torchmetrics, and the label maps that they are of against torch's own resizing."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch.utils._python_dispatch import TorchDispatchMode
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from tst_fast.models.segmentation import SegmentationOutput
from tst_fast.tasks.metrics.segmentation import ConfusionMatrix
from tst_fast.tasks.segmentation import Segmentation
from tst_pipelines import Batch

NAMES = ("road", "sky", "tree", "car", "sign", "pole")
CPU = torch.device("cpu")


def _batches(count=3, seed=0):
    """Logits at a quarter of the size of labels without "sky" and "pole"; "pole" is never answered, either."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        logits = torch.randn(2, len(NAMES), 6, 9, generator=generator)
        logits[:, 5] = -9
        labels = torch.tensor([0, 2, 3, 4, 255])[torch.randint(0, 5, (2, 24, 36), generator=generator)].byte()
        yield SegmentationOutput(logits), Batch(torch.zeros(2, 24, 36, 3, dtype=torch.uint8), labels, np.arange(2))


def _evaluate(batches):
    evaluator = ConfusionMatrix(NAMES, CPU)
    for output, batch in batches:
        evaluator.update(output, batch)
    return evaluator.result(Accelerator(cpu=True))


def test_scores_are_torchmetrics():
    arguments = {"num_classes": len(NAMES), "ignore_index": 255}
    mean, each = (MulticlassJaccardIndex(**arguments, average=kind) for kind in ("macro", "none"))
    accuracy = MulticlassAccuracy(**arguments, average="micro")
    for output, batch in _batches():
        for metric in (mean, each, accuracy):
            metric.update(output.label_map((24, 36)).long(), batch.labels.long())
    found = _evaluate(_batches())
    assert np.float32(found.scores["mean_iou"]) == pytest.approx(mean.compute().item(), rel=1e-7)
    assert np.float32(found.scores["pixel_accuracy"]) == accuracy.compute().item()
    expected = dict(zip(NAMES, each.compute().tolist(), strict=True))
    assert {name: np.float32(value) for name, value in found.by_class["iou"].items()} == {
        name: value for name, value in expected.items() if name != "pole"
    }
    assert found.by_class["iou"]["sky"] == 0, "answered, though never a label"


@pytest.mark.parametrize("shares", [(0.9, 0.1), (0.5, 0.5), (0.4, 0.3, 0.2, 0.1)])
def test_one_answer_everywhere_scores_no_more_than_a_guess(shares):
    labels = torch.cat([torch.full((round(100 * share),), number) for number, share in enumerate(shares)])
    metric = MulticlassJaccardIndex(num_classes=len(shares))
    scores = [metric(torch.full((100,), answer), labels).item() for answer in range(len(shares))]
    metric.reset()
    guess = Segmentation.metrics[0].of_a_guess(len(shares), images=3)
    assert 0 < max(scores) <= guess < 0.6


def test_the_matrix_has_labels_in_rows():
    labels, answers = torch.tensor([[[0, 0, 1, 255]]], dtype=torch.uint8), torch.tensor([[[0, 2, 1, 2]]])
    output = SegmentationOutput(F.one_hot(answers, len(NAMES)).movedim(3, 1).float())
    found = _evaluate([(output, Batch(torch.zeros(1, 1, 4, 3, dtype=torch.uint8), labels, np.arange(1)))])
    expected = np.zeros((len(NAMES), len(NAMES)), dtype=np.int64)
    expected[0, 0] = expected[0, 2] = expected[1, 1] = 1
    np.testing.assert_array_equal(found.confusion, expected)
    assert found.scores == {"mean_iou": pytest.approx((1 / 2 + 1 + 0) / 3), "pixel_accuracy": pytest.approx(2 / 3)}


def test_images_without_labels_have_no_scores():
    ignored = ((output, dataclasses.replace(b, labels=torch.full_like(b.labels, 255))) for output, b in _batches())
    assert _evaluate(ignored).scores == {}


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(700, 90), (64, 96), (8, 12), (5, 7), (1, 12)])
def test_label_maps_are_those_of_resized_logits(size, align_corners):
    logits = torch.randn(2, len(NAMES), 8, 12, generator=torch.Generator().manual_seed(3))
    found = SegmentationOutput(logits, align_corners=align_corners).label_map(size)
    resized = F.interpolate(logits.double(), size, mode="bilinear", align_corners=align_corners)
    two = resized.topk(2, dim=1).values
    clear = two[:, 0] - two[:, 1] > 1e-4  # elsewhere float32 may differ
    assert clear.float().mean() > 0.99
    assert torch.equal(found[clear].long(), resized.argmax(1)[clear])


class _Largest(TorchDispatchMode):
    """Notes the size in bytes of the largest tensor that is made."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **keywords or {})
        if isinstance(result, torch.Tensor):
            self.bytes = max(self.bytes, result.nbytes)
        return result


def test_memory_does_not_grow_with_the_batch():
    """Two images of 2048x1024 pixels and 19 classes: all their logits take 319 MB, a band of them 40 MB."""
    evaluator = ConfusionMatrix([str(i) for i in range(19)], CPU)
    labels = torch.zeros(2, 1024, 2048, dtype=torch.uint8)
    batch = Batch(torch.zeros(2, 1, 1, 3, dtype=torch.uint8), labels, np.arange(2))
    with _Largest() as largest:
        evaluator.update(SegmentationOutput(torch.randn(2, 19, 128, 256)), batch)
    assert 30e6 < largest.bytes < 50e6
