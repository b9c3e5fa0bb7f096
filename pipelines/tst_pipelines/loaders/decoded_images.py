"""Images of any sizes and their label maps, decoded once and kept in host memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from tst_pipelines.datasets.detections import DetectionDataset
from tst_pipelines.datasets.pairs import PairDataset
from tst_pipelines.loaders.decode import decoded_whole
from tst_pipelines.loaders.refusals import require_one_size
from tst_pipelines.loaders.resizing import BatchResizer
from tst_pipelines.placement import Placement
from tst_pipelines.targets import Targets
from tst_pipelines.transforms import PlacingTransform, Whole

DenseDataset = PairDataset | DetectionDataset
"""Data sets of label maps or boxes."""


class DecodedImages:
    """The decoded images of a data set, from which batches are cropped.

    Args:
        dataset: the images.
        transform: what to do to each image.
        threads: how many decode and resize.

    Raises:
        DataError: files that cannot be read or decoded, by name.
    """

    def __init__(self, dataset: DenseDataset, transform: PlacingTransform, threads: int) -> None:
        self._dataset, self._transform = dataset, transform
        self._images = list(decoded_whole(dataset, threads))
        self._label_maps: list[np.ndarray] = []
        if isinstance(dataset, PairDataset):
            self._label_maps = [dataset.label_map(index) for index in range(len(dataset))]
        self._shapes = np.array([image.shape for image in self._images])
        self._resizer = BatchResizer(threads)

    def batch(self, indices: np.ndarray, numbers: np.ndarray) -> tuple[torch.Tensor, Targets]:
        """Images, uint8 [B, H, W, 3], and targets of a batch.

        Args:
            indices: its images, int64 [B].
            numbers: float64 [B, transform.random_numbers].

        Raises:
            DataError: as the data set's `targets`.
        """
        shapes = self._shapes[indices]
        if isinstance(self._transform, Whole):
            require_one_size(self._dataset, indices, shapes)
        placement = self._transform.place(shapes, numbers)
        regions = [_region(self._images[index], placement, row) for row, index in enumerate(indices.tolist())]
        return self._resizer(regions, placement), self._targets(indices, placement)

    def _targets(self, indices: np.ndarray, placement: Placement) -> Targets:
        dataset = self._dataset
        if not isinstance(dataset, PairDataset):
            return dataset.targets(indices, placement)
        labels = [
            dataset.placed(self._label_maps[index], index, placement, row) for row, index in enumerate(indices.tolist())
        ]
        return Targets(torch.from_numpy(np.stack(labels)))

    def close(self) -> None:
        """End the threads."""
        self._resizer.close()


def decoded_bytes(dataset: DenseDataset) -> Iterator[int]:
    """Bytes that `DecodedImages` would take for each image, by the annotated size or by the header of its label map.

    Raises:
        DataError: a label map cannot be read, by name.
    """
    if isinstance(dataset, DetectionDataset):
        return (3 * height * width for height, width in dataset.shapes.tolist())
    return (4 * height * width for height, width in map(dataset.label_shape, range(len(dataset))))


def _region(image: torch.Tensor, placement: Placement, row: int) -> torch.Tensor:
    (top, left), (height, width) = placement.start[row].tolist(), placement.extent[row].tolist()
    return image[top : top + height, left : left + width]
