"""What is refused of any task, before anything is loaded."""

from types import SimpleNamespace

import pytest

from tst_fast.config.schema import Config, replace
from tst_fast.errors import UserError
from tst_fast.tasks import make_task
from tst_fast.tasks.classification import Classification
from tst_fast.tasks.detection import Detection
from tst_fast.tasks.segmentation import Segmentation


@pytest.mark.parametrize(
    "changes",
    [{}, {"task": "segmentation", "data__name": "scenes", "data__crop": "scale"}],
    ids=["images", "label maps"],
)
def test_a_batch_must_divide_among_the_processes(changes):
    config = replace(Config(), data__batch_size=128, **changes)
    make_task(config, SimpleNamespace(num_processes=4))
    with pytest.raises(UserError, match=r"--data.batch_size must be a multiple of the number of processes, 3, got 128"):
        make_task(config, SimpleNamespace(num_processes=3))


@pytest.mark.parametrize("images", [1, 4, 9, 1397])
@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("task", [Classification, Segmentation, Detection])
def test_a_perfect_network_does_not_guess(task, classes, images):
    for metric in task.metrics:
        assert 0 <= metric.of_a_guess(classes, images) <= 0.75


def test_of_one_class_a_guess_is_right_but_for_boxes():
    assert [task.metrics[0].of_a_guess(1, 5) for task in (Classification, Segmentation, Detection)] == [1, 1, 0]
