"""Which files made a batch fail: DALI does not say, so they are decoded one by one."""

from __future__ import annotations

from collections.abc import Sequence

from tst_pipelines.datasets.files import ImageFiles, shown
from tst_pipelines.loaders.probe import Probe
from tst_pipelines.protocol import DataError

_SHOWN = 10


def data_error(dataset: ImageFiles, batches: Sequence[Sequence[int]], reason: Exception) -> DataError:
    """The error to raise for a failure of DALI.

    Args:
        dataset: the images.
        batches: the positions in `dataset` of the batch that failed, then of those being prefetched; the first batch
            with a bad file is the one reported.
        reason: what DALI raised; shown if no bad file is found.
    """
    probe = Probe()
    for indices in batches:
        faults = {index: fault for index in indices if (fault := probe.fault(dataset, index))}
        bad_files = [f"{shown(dataset.path(index))}: {fault}" for index, fault in faults.items()]
        if bad_files:
            return unreadable(bad_files)
    beginning = ", ".join(shown(dataset.path(index)) for index in batches[0][:3])
    return DataError(
        f"DALI failed, though every image of the batch decodes by itself on the CPU: {_message(reason)}\n"
        f"the batch begins with {beginning}; a smaller batch size helps if memory ran out"
    )


def unreadable(bad_files: Sequence[str]) -> DataError:
    """The error that names bad files, given as `path: fault`."""
    more = [f"and {len(bad_files) - _SHOWN} more"] if len(bad_files) > _SHOWN else []
    listed = "\n  ".join([*bad_files[:_SHOWN], *more])
    return DataError(f"images that cannot be read:\n  {listed}\nreplace them, or leave them out", "exclude")


def _message(reason: Exception) -> str:
    """DALI's message without the definition of the pipeline in it."""
    return str(reason).split("encountered:")[-1].split("Current pipeline object")[0].strip()
