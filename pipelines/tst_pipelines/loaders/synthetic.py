"""Random images that cost next to nothing to load, for measuring everything else and for trying out settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch

from tst_pipelines.placement import Placement
from tst_pipelines.position import PositionedLoader
from tst_pipelines.protocol import Batch, DataError
from tst_pipelines.sampling import Share
from tst_pipelines.targets import Targets

_DISTINCT = 256  # images that are made; the data set repeats them


@dataclass(frozen=True)
class SyntheticDataset:
    """Images of random bytes with random labels; their loader makes them.

    Attributes:
        images: their number.
        class_count: the number of classes.
        seed: of images and labels.

    Raises:
        DataError: no images or no classes.
    """

    images: int
    class_count: int
    seed: int = 0

    targets_in_pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.images < 1 or self.class_count < 1:
            raise DataError(f"images and classes must be positive, got {self.images} and {self.class_count}")

    def __len__(self) -> int:
        return self.images

    @cached_property
    def labels(self) -> np.ndarray:
        """int64 [images]."""
        words = np.random.Philox(self.seed).random_raw(self.images)
        return (words % np.uint64(self.class_count)).astype(np.int64)

    @property
    def classes(self) -> tuple[str, ...]:
        """The numbers of the classes."""
        return tuple(map(str, range(self.class_count)))

    def path(self, index: int) -> str:
        """The name of image `index` in messages."""
        return f"synthetic image {index}"

    def select(self, positions: np.ndarray) -> SyntheticDataset:
        """As many images, of the same classes; random images are all alike."""
        return dataclasses.replace(self, images=len(positions))

    def targets(self, indices: np.ndarray, placement: Placement | None = None) -> Targets:
        """See `Dataset.targets`."""
        return Targets(torch.from_numpy(self.labels[indices]))

    @property
    def fingerprint(self) -> str:
        """The parameters that the images are made from."""
        return f"synthetic {self.images} images {self.class_count} classes seed {self.seed}"


class SyntheticLoader(PositionedLoader[SyntheticDataset]):
    """A `Loader` of random images that are made once, on the device.

    Image `i` is the same in every epoch, on every rank and on every device: random image number i modulo 256.

    Args:
        dataset: how many images, of how many classes.
        size: side of the images in pixels.
        batch_size: images of a batch, for each rank.
        share: what this process takes of each epoch, and where batches are.

    Raises:
        DataError: the request does not fit the data (see `Sampler`).
    """

    def __init__(
        self,
        dataset: SyntheticDataset,
        size: int,
        batch_size: int,
        share: Share,
    ) -> None:
        super().__init__(dataset, batch_size, share)
        self._size = size
        self._images: torch.Tensor | None = None

    def close(self) -> None:
        """Release the images. Closing twice is allowed; iterating again makes them again."""
        self._images = None

    def _load(self) -> Batch:
        if self._images is None:
            self._images = self._make().to(self.device)
        indices = self._position.indices()
        rows = torch.from_numpy(indices % len(self._images)).to(self.device)
        return Batch.of(self._images.index_select(0, rows), self.dataset.targets(indices), indices)

    def _make(self) -> torch.Tensor:
        shape = (min(len(self.dataset), _DISTINCT), self._size, self._size, 3)
        count = int(np.prod(shape))
        words = np.random.Philox(self.dataset.seed + 1).random_raw(-(-count // 8)).astype("<u8")
        return torch.from_numpy(words.view(np.uint8)[:count].reshape(shape))
