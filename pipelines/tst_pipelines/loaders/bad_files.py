"""Which files stopped a batch: DALI does not say, so they are tried one by one."""

from __future__ import annotations

from collections.abc import Sequence

from tst_pipelines.datasets.files import ImageDataset
from tst_pipelines.loaders.probe import Probe
from tst_pipelines.protocol import DataError

_SHOWN = 10


def data_error(dataset: ImageDataset, batches: Sequence[Sequence[int]], reason: Exception) -> DataError:
    """The error to raise for a failure of DALI.

    Args:
        dataset: the images.
        batches: the positions in `dataset` of the batch that failed, then of those being prefetched; the first batch
            with a bad file is the one reported.
        reason: what DALI raised, shown if no file is found to be bad.
    """
    probe = Probe()
    for indices in batches:
        culprits = [f"{dataset.path(index)}: {fault}" for index in indices if (fault := probe.fault(dataset, index))]
        if culprits:
            return unreadable(culprits)
    beginning = ", ".join(dataset.path(index) for index in batches[0][:3])
    return DataError(
        f"DALI failed, though every image of the batch decodes by itself on the CPU: {_message(reason)}\n"
        f"the batch begins with {beginning}; a smaller batch size helps if memory ran out"
    )


def unreadable(culprits: Sequence[str]) -> DataError:
    """The error that names bad files, given as `path: fault`."""
    more = [f"and {len(culprits) - _SHOWN} more"] if len(culprits) > _SHOWN else []
    listed = "\n  ".join([*culprits[:_SHOWN], *more])
    return DataError(
        "images that cannot be read; replace them, or leave them out (`tst-fast verify-data FOLDER` finds them all and "
        f"lists them for --data.exclude):\n  {listed}"
    )


def _message(reason: Exception) -> str:
    """DALI's message without the definition of the pipeline in it."""
    return str(reason).split("encountered:")[-1].split("Current pipeline object")[0].strip()
