"""What learned from which images, in the order of the updates."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tst_fast.run.search import PolicySearch
from tst_fast.run.update import ModelUpdate

Batches = list[tuple[str, list[int]]]
"""Of each update, the name of the class that made it, and the positions of its images in the training split."""


@contextmanager
def record_batches() -> Iterator[Batches]:
    """The batches of every update that begins within."""
    batches: Batches = []

    def recorded(kind, step):
        def wrapped(self, batch):
            batches.append((kind.__name__, batch.indices.tolist()))
            return step(self, batch)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for kind in (ModelUpdate, PolicySearch):
            patch.setattr(kind, "step", recorded(kind, kind.step))
        yield batches
