"""COCO's twelve numbers against pycocotools, from the boxes as networks give them."""

import contextlib
import io

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tst_fast.tasks.metrics.detection import NUMBERS, CocoScore
from tst_pipelines import Batch, DetectionDataset, FitAndPad

IMAGES, CLASSES = 12, ("ant", "bee", "cow")
CATEGORIES = np.array([3, 7, 90])
CANVAS = (256, 320)


def _dataset(seed=0, crowds=True):
    """Boxes of all sizes; an image without objects, a crowd in every fourth, and numbers with gaps."""
    random = np.random.default_rng(seed)
    counts = random.integers(1, 7, IMAGES)
    counts[4] = 0
    shapes = np.stack([random.integers(200, 480, IMAGES), random.integers(200, 640, IMAGES)], 1).astype(np.int32)
    rows = np.repeat(np.arange(IMAGES), counts)
    corner, side = random.random((len(rows), 2)) * 0.6, np.exp(random.uniform(-3.5, -1, (len(rows), 2)))
    boxes = np.concatenate([corner, corner + side], 1) * shapes[rows][:, [1, 0, 1, 0]]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) * 0.7  # of a mask: smaller than the box
    crowd = np.zeros(len(rows), bool)
    crowd[::4] = crowds
    return DetectionDataset(
        root=".",
        files=[f"{number}.jpg" for number in range(IMAGES)],
        classes=CLASSES,
        category_ids=CATEGORIES,
        image_ids=100 + 7 * np.arange(IMAGES),
        shapes=shapes,
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        boxes=boxes.astype(np.float32),
        labels=random.integers(0, len(CLASSES), len(rows)),
        crowd=crowd,
        areas=areas.astype(np.float32),
    )


def _found(dataset, seed=1):
    """The truth, moved a little, some of it missing or of another class, and false alarms: in pixels of the files."""
    random, found = np.random.default_rng(seed), []
    for image in range(len(dataset)):
        boxes = dataset.boxes[dataset.offsets[image] : dataset.offsets[image + 1]]
        labels = dataset.labels[dataset.offsets[image] : dataset.offsets[image + 1]]
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        moved = boxes + random.normal(0, 0.06, boxes.shape) * sides
        alarms = np.sort(random.random((3, 2, 2)), axis=1).reshape(3, 4) * dataset.shapes[image][[1, 0, 1, 0]]
        kept = random.random(len(boxes)) < 0.9
        labels = np.where(random.random(len(boxes)) < 0.1, (labels + 1) % len(CLASSES), labels)
        labels = np.concatenate([labels[kept], random.integers(0, len(CLASSES), 3)])
        found.append((np.concatenate([moved[kept], alarms]), np.round(random.random(len(labels)), 1), labels))  # ties
    return found


def _expected(dataset, found):
    """By pycocotools, from a JSON file's content."""
    truth = COCO()
    rows = np.repeat(np.arange(len(dataset)), np.diff(dataset.offsets))
    sides = dataset.boxes.astype(np.float64).copy()
    sides[:, 2:] -= sides[:, :2]
    truth.dataset = {
        "info": {},
        "images": [{"id": int(number)} for number in dataset.image_ids],
        "categories": [{"id": int(n), "name": name} for n, name in zip(CATEGORIES, CLASSES, strict=True)],
        "annotations": [
            {
                "id": n + 1,
                "image_id": int(dataset.image_ids[row]),
                "category_id": int(CATEGORIES[dataset.labels[n]]),
                "bbox": sides[n].tolist(),
                "area": float(dataset.areas[n]),
                "iscrowd": int(dataset.crowd[n]),
            }
            for n, row in enumerate(rows)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        answers = [
            [dataset.image_ids[image], *box[:2], *(box[2:] - box[:2]), score, CATEGORIES[label]]
            for image, (boxes, scores, labels) in enumerate(found)
            for box, score, label in zip(boxes, scores, labels, strict=True)
        ]
        evaluation = COCOeval(truth, truth.loadRes(np.array(answers)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


class _Output:
    def __init__(self, detections):
        self.held = detections

    def detections(self, sizes):
        assert all(height <= CANVAS[0] and width <= CANVAS[1] for height, width in sizes)
        return self.held


def _scored(dataset, found, batches):
    transform = FitAndPad(CANVAS)
    score = CocoScore(dataset, transform)
    for indices in batches:
        placement = transform.place(dataset.shapes[indices])
        factors = placement.size / placement.whole
        held = [
            {
                "boxes": torch.tensor(found[index][0] * factors[row][[1, 0, 1, 0]]),
                "scores": torch.tensor(found[index][1]),
                "labels": torch.tensor(found[index][2]),
            }
            for row, index in enumerate(indices)
        ]
        nothing = torch.zeros(len(indices), 1)
        score.update(_Output(held), Batch(nothing, nothing, indices, nothing, torch.tensor(placement.size)))
    return score.result(Accelerator(cpu=True))


def test_the_twelve_numbers_are_pycocotools():
    dataset = _dataset()
    found = _found(dataset)
    expected = _expected(dataset, found)
    result = _scored(dataset, found, np.array_split(np.arange(IMAGES), 3))
    for name, value in zip(NUMBERS, expected.stats, strict=True):
        assert result.scores.get(name, -1.0) == pytest.approx(value, abs=1e-6), name
    assert 0.1 < result.scores["box_ap"] < 0.9
    precision = expected.eval["precision"][:, :, :, 0, -1]
    by_class = {name: precision[:, :, n].mean() for n, name in enumerate(CLASSES)}
    assert result.by_class["box_ap"] == pytest.approx(by_class, abs=1e-6)


def test_batches_and_their_order_change_nothing():
    """Nor do, therefore, ranks, whose images follow one another."""
    dataset = _dataset()
    found = _found(dataset)
    whole = _scored(dataset, found, [np.arange(IMAGES)])
    ranks = [np.arange(IMAGES)[1::2], np.arange(IMAGES)[::2]]
    assert _scored(dataset, found, [part for rank in ranks for part in np.array_split(rank, 3)]) == whole


def test_nothing_found_and_nothing_to_find():
    dataset = _dataset()
    nothing = [(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))] * IMAGES
    result = _scored(dataset, nothing, [np.arange(IMAGES)])
    assert result.scores["box_ap"] == 0.0
    assert set(result.by_class["box_ap"].values()) == {0.0}
    assert _scored(dataset, nothing, [np.array([4])]).scores == {}


def test_the_library_must_be_there(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faster_coco_eval", None)
    with pytest.raises(Exception, match=r"pip install 'tst-fast\[detection\]'"):
        CocoScore.require()
