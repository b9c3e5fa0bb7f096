"""Accuracy, by class and as a confusion matrix, against counting in NumPy; the counts of ranks add up."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import top_k_accuracy_score

from tst_fast.tasks.metrics import classification
from tst_fast.tasks.metrics.classification import Accuracy
from tst_pipelines import Batch

CLASSES = ("ant", "bee", "cat", "dog")  # no image is a cat
NUMBERS = np.random.default_rng(0)
LABELS = NUMBERS.choice([0, 1, 3], 50)
LOGITS = NUMBERS.normal(size=(50, 4)) + 1.5 * np.eye(4)[LABELS]
ALONE = SimpleNamespace(reduce=lambda values, reduction: values)


def _counted(rows):
    """An evaluator that has seen these images, ten at a time, and an empty batch."""
    evaluator = Accuracy(CLASSES, torch.device("cpu"))
    for some in [*np.split(rows, range(10, len(rows), 10)), rows[:0]]:
        images = torch.zeros(len(some), 2, 2, 3, dtype=torch.uint8)
        evaluator.update(torch.from_numpy(LOGITS[some]), Batch(images, torch.from_numpy(LABELS[some]), some))
    return evaluator


def _expected():
    answers = LOGITS.argmax(axis=1)
    confusion = np.zeros((4, 4), int)
    for label, answer in zip(LABELS, answers, strict=True):
        confusion[label, answer] += 1
    by_class = {name: (answers[i == LABELS] == i).mean() for i, name in enumerate(CLASSES) if (i == LABELS).any()}
    return (answers == LABELS).mean(), by_class, confusion


def test_every_image_counts_once():
    score, by_class, confusion = _expected()
    found = _counted(np.arange(50)).result(ALONE)
    assert found.scores == {"accuracy": pytest.approx(score)}
    assert found.by_class == {"accuracy": pytest.approx(by_class)}
    assert list(by_class) == ["ant", "bee", "dog"]
    assert np.array_equal(found.confusion, confusion) and found.confusion.dtype == np.int64
    assert not np.array_equal(confusion, confusion.T)


def test_the_top_five_are_counted_where_there_are_more_classes():
    numbers = np.random.default_rng(1)
    labels = numbers.integers(0, 7, 40)
    logits = numbers.normal(size=(40, 7))
    evaluator = Accuracy("abcdefg", torch.device("cpu"))
    for some in np.split(np.arange(40), [15]):
        images = torch.zeros(len(some), 2, 2, 3, dtype=torch.uint8)
        evaluator.update(torch.from_numpy(logits[some]), Batch(images, torch.from_numpy(labels[some]), some))
    expected = top_k_accuracy_score(labels, logits, k=5, labels=np.arange(7))
    assert evaluator.result(ALONE).scores["top5_accuracy"] == pytest.approx(expected)
    assert expected < 1


@pytest.mark.parametrize("largest", [1000, 3], ids=["few classes", "many classes"])
def test_ranks_add_up(largest, monkeypatch):
    monkeypatch.setattr(classification, "LARGEST_CONFUSION", largest)
    ranks = [_counted(np.arange(0, 20)), _counted(np.arange(20, 50))]
    both = SimpleNamespace(reduce=lambda values, reduction: {"sum": ranks[0].counts + ranks[1].counts}[reduction])
    score, by_class, confusion = _expected()
    for rank in ranks:
        found = rank.result(both)
        assert found.scores == {"accuracy": pytest.approx(score)}
        assert found.by_class == {"accuracy": pytest.approx(by_class)}
        assert found.confusion is None if largest == 3 else np.array_equal(found.confusion, confusion)
