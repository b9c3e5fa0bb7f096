"""What is refused of any task, before anything is loaded."""

from types import SimpleNamespace

import pytest

from tst_fast.config.schema import Config, replace
from tst_fast.errors import UserError
from tst_fast.tasks import make_task


@pytest.mark.parametrize(
    "changes",
    [{}, {"task": "segmentation", "data__name": "scenes", "data__crop": "scale"}],
    ids=["images", "label maps"],
)
def test_a_batch_must_divide_among_the_processes(changes):
    config = replace(Config(), data__batch_size=128, **changes)
    make_task(config, SimpleNamespace(num_processes=4))
    with pytest.raises(UserError, match=r"--data.batch_size 128 does not divide among 3 processes"):
        make_task(config, SimpleNamespace(num_processes=3))
