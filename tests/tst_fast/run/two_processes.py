"""A run in each of two processes, for test_two_processes.py; its arguments are train.py's, after those below.

The processes must end with the same student, connector, policy and encoders, and search with the same student.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator

from tests.tst_fast.recording import record_batches
from tests.tst_fast.stopping import Stopped, stop_after
from tst_fast.run.loop import Run
from tst_fast.run.search import PolicySearch
from tst_fast.run.start import open_run
from tst_fast.train import parse


def main() -> None:
    own = argparse.ArgumentParser(allow_abbrev=False)
    own.add_argument("--stop_after", type=int, help="updates of anything; then end as if all were well")
    own.add_argument("--batches", type=Path, help="folder for what each process learned from: `record_batches`")
    asked, flags = own.parse_known_args(sys.argv[1:])
    accelerator = Accelerator(cpu=True)
    config, options = parse(flags)
    run = open_run(config, options.resume, accelerator, quiet=True)
    if options.resume:
        run.resume(options.elastic)
    PolicySearch.step = of_equal_buffers(PolicySearch.step)
    with record_batches() as batches, nullcontext() if asked.stop_after is None else stop_after(asked.stop_after):
        try:
            run.run()
            check_that_all_ended_alike(run)
        except Stopped:
            pass
    if asked.batches:
        (asked.batches / f"{accelerator.process_index}.json").write_text(json.dumps(batches))
    run.close()
    accelerator.end_training()


def of_equal_buffers(step):
    """A search's step, before which all processes' students must have the same batch-norm statistics."""

    def wrapped(self, batch):
        require_equal(self.accelerator, self.student.buffers())
        return step(self, batch)

    return wrapped


def require_equal(accelerator: Accelerator, tensors: Iterable[torch.Tensor]) -> None:
    values = torch.cat([value.flatten() for value in tensors]).detach()
    first, second = accelerator.gather(values).view(2, -1)
    assert torch.equal(first, second)
    assert values.any()


def check_that_all_ended_alike(run: Run) -> None:
    session = run.session
    assert session.accelerator.num_processes == 2
    encoders = [session.augmenter.encoders] if session.augmenter.encoders is not None else []
    for model in (session.learners.student.model, session.policy, *encoders):
        require_equal(session.accelerator, model.parameters())


if __name__ == "__main__":
    main()
