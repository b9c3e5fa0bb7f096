"""Decodes the label maps of a batch on CPU threads, and prefetches those of the next batch."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from tst_pipelines.datasets.pairs import PairDataset
from tst_pipelines.placement import Placement
from tst_pipelines.targets import Targets


class LabelReader:
    """Reads the label maps of a data set batch by batch.

    Args:
        dataset: images with label maps.
        threads: how many decode.
    """

    def __init__(self, dataset: PairDataset, threads: int) -> None:
        self._dataset = dataset
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="labels")
        self._ahead: dict[int, Future[np.ndarray]] = {}

    def __call__(self, indices: Sequence[int], placement: Placement, following: Sequence[int]) -> Targets:
        """The targets of a batch.

        Args:
            indices: its images.
            placement: how the transform placed them.
            following: images of the batch that is expected next.

        Raises:
            DataError: see `PairDataset.targets`.
        """
        read = [self._ahead.get(index) or self._read(index) for index in indices]
        self._ahead = {index: self._read(index) for index in following}
        placed = [
            self._pool.submit(self._dataset.placed, labels.result(), index, placement, row)
            for row, (index, labels) in enumerate(zip(indices, read, strict=True))
        ]
        return Targets(torch.from_numpy(np.stack([label_map.result() for label_map in placed])))

    def close(self) -> None:
        """End the threads. Closing twice is allowed; reading again is not."""
        self._pool.shutdown(cancel_futures=True)

    def _read(self, index: int) -> Future[np.ndarray]:
        return self._pool.submit(self._dataset.label_map, index)
