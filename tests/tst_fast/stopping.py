"""What stands for a kill, in the middle of a run."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tst_fast.run.search import PolicySearch
from tst_fast.run.update import ModelUpdate


class Stopped(Exception):
    """Raised where the run was to be stopped."""


@contextmanager
def stop_after(steps: int) -> Iterator[None]:
    """Within, the update after this many of anything raises `Stopped`."""
    left = [steps]

    def counted(step):
        def wrapped(self, batch):
            if not left[0]:
                raise Stopped
            left[0] -= 1
            return step(self, batch)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for kind in (ModelUpdate, PolicySearch):
            patch.setattr(kind, "step", counted(kind.step))
        yield
