"""A run that is stopped at any moment continues as if nothing had stopped it, and on other data not at all."""

import pytest
import torch

from tests.tst_fast.same_run import assert_same_run
from tst_fast.errors import UserError

# The listed run has 8 teacher, 8 search and 12 student steps: a stop in each stage, within and between checkpoints. The
# one with half epochs has 4 search steps, the interleaved one 8 among the student's 12.
STOPS = {
    "listed": [3, 8, 11, 15, 19, 27],
    "a search that waits": [13, 21],
    "second crops": [11],
    "half epochs": [13, 15],
    "interleaved, and every option": [5, 11, 19, 26],
}


@pytest.mark.parametrize(("schedule", "steps"), [(name, steps) for name in STOPS for steps in STOPS[name]])
def test_a_stopped_run_resumes_to_the_same_bits(whole_run_of, make_run, stop_run, schedule, steps):
    whole_run = whole_run_of(schedule)
    stop_run(whole_run.config, steps)
    resumed = make_run(whole_run.config)
    resumed.resume()
    assert_same_run(resumed.folder, resumed.run(), whole_run.folder, whole_run.result)
    for stage in ("student", "search"):
        states = [run.learners.of(stage).state_dict() for run in (whole_run.run, resumed)]
        torch.testing.assert_close(states[0], states[1], atol=0, rtol=0)


def test_resume_refuses_other_data(tiny_config, make_run, stop_run):
    """Said or unsaid, elastically or not: the loader cannot go on in another order, nor the rates by other steps."""
    stop_run(tiny_config(), 5)
    other = make_run(tiny_config("--data.batch_size=50"))
    with pytest.raises(UserError, match=r"data\.batch_size was 100, now 50"):
        other.resume()
    for elastic in (False, True):
        with pytest.raises(
            UserError, match=r"data\.batch_size=50: the run began with 100, and epochs and learning rates are"
        ):
            other.resume(elastic, overrides={"data.batch_size": "50"})
