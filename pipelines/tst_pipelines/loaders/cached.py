"""The loader of data sets that fit in memory: decoded once, then shuffled, cropped and flipped in batches."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import torch

from tst_pipelines.datasets.arrays import ArrayDataset
from tst_pipelines.datasets.files import ImageFiles
from tst_pipelines.loaders.decode import decoded
from tst_pipelines.loaders.decoded_images import DecodedImages, DenseDataset, decoded_bytes
from tst_pipelines.loaders.refusals import require_placing
from tst_pipelines.loaders.transfer import to_device
from tst_pipelines.position import PositionedLoader
from tst_pipelines.protocol import Batch, DataError, Dataset
from tst_pipelines.sampling import Share
from tst_pipelines.targets import Targets
from tst_pipelines.transforms import PadAndCrop, PlacingTransform, ResizeCenterCrop, Transform

CACHE_LIMIT = 2 * 2**30
"""What the cached loader keeps at most, in bytes."""


class CachedLoader(PositionedLoader[ImageFiles | ArrayDataset]):
    """A `Loader` that decodes every image once, at the first batch, and keeps it as uint8.

    Order, crops and flips are those of `DaliLoader` with the same seed, and so are the bytes. Images that come out at
    one size are kept on the device if that is a GPU of CUDA or ROCm, else in host memory; padded and, where the
    transform flips, mirrored too, so that a batch is one gather. Images with label maps or boxes are kept whole in
    host memory.

    Args:
        dataset: image files of any kind, or an `ArrayDataset`.
        transform: what to do to each image; images of another size are resized once, to the transform's.
        batch_size: images of a batch, for each rank.
        share: what this process takes of each epoch, and where to; each process keeps all images.
        threads: CPU threads that decode.

    Raises:
        DataError: the images would take more than `CACHE_LIMIT`, the transform needs them at full size, or the request
            does not fit the data (see `Sampler`).
    """

    def __init__(
        self,
        dataset: ImageFiles | ArrayDataset,
        transform: Transform,
        batch_size: int,
        share: Share,
        *,
        threads: int = 2,
    ) -> None:
        if threads < 1:
            raise DataError(f"threads must be positive, got {threads}")
        require_placing(dataset, transform)
        if not fits_in_cache(dataset, transform):
            raise DataError(
                f"{len(dataset):,} images take more than {CACHE_LIMIT / 2**30:.1f} GiB as the cached loader keeps them "
                f"for {type(transform).__name__}: use the DALI loader",
                "loader",
            )
        super().__init__(dataset, batch_size, share)
        self._transform = transform
        self._threads = threads
        self._kept: _CropWindows | DecodedImages | None = None

    def close(self) -> None:
        """Release the images. Closing twice is allowed; iterating again decodes them again."""
        if self._kept is not None:
            self._kept.close()
        self._kept = None

    def _load(self) -> Batch:
        if self._kept is None:
            self._kept = self._keep()
        indices = self._position.indices()
        images, targets = self._kept.batch(indices, self._position.uniforms(self._transform.random_numbers))
        return Batch.of(to_device(images, self.device), targets, indices)

    def _keep(self) -> _CropWindows | DecodedImages:
        dataset, transform = self.dataset, self._transform
        if isinstance(dataset, DenseDataset):
            assert isinstance(transform, PlacingTransform)  # as `require_placing` demands
            return DecodedImages(dataset, transform, self._threads)
        return _CropWindows(dataset, transform, self._threads, self.device)


class _CropWindows:
    """Padded images of one size, with a view for every crop that a batch may take.

    Args:
        dataset: image files or an `ArrayDataset`.
        transform: what to do to each image.
        threads: how many decode.
        device: where batches go; images are kept there if it is a GPU.
    """

    def __init__(
        self, dataset: ImageFiles | ArrayDataset, transform: Transform, threads: int, device: torch.device
    ) -> None:
        self._dataset, self._transform = dataset, transform
        self._windows = _decode(dataset, transform, threads, device if device.type == "cuda" else torch.device("cpu"))

    def batch(self, indices: np.ndarray, numbers: np.ndarray) -> tuple[torch.Tensor, Targets]:
        """Images, uint8 [B, size, size, 3], and targets of a batch.

        Args:
            indices: its images, int64 [B].
            numbers: float64 [B, transform.random_numbers].
        """
        images = gather(self._windows, _windows_of(self._transform, indices, numbers))
        return images, self._dataset.targets(indices)

    def close(self) -> None:
        """Nothing but memory is held."""


def _decode(
    dataset: ImageFiles | ArrayDataset, transform: Transform, threads: int, memory: torch.device
) -> torch.Tensor:
    """Every crop that a batch may take, as views of the padded images.

    Returns:
        uint8 [C, N, 2 p + 1, 2 p + 1, size, size, 3] by mirrored or not, image, top and left: they overlap.
    """
    size, padding, copies = _layout(transform)
    side = size + 2 * padding
    kept = torch.zeros((copies, len(dataset), side, side, 3), dtype=torch.uint8, device=memory)
    inner = kept[:, :, padding : padding + size, padding : padding + size]
    whole = transform if isinstance(transform, ResizeCenterCrop) else ResizeCenterCrop(size)
    first = 0
    for images in decoded(dataset, whole, memory, threads):
        inner[0, first : first + len(images)] = images
        if copies == 2:
            inner[1, first : first + len(images)] = images.flip(2)
        first += len(images)
    mirrored, image, row, pixel, byte = kept.stride()
    places = 2 * padding + 1
    shape = (copies, len(dataset), places, places, size, size, 3)
    return kept.as_strided(shape, (mirrored, image, row, pixel, row, pixel, byte))


def fits_in_cache(dataset: Dataset, transform: Transform) -> bool:
    """Whether the images, as the cached loader keeps them, take `CACHE_LIMIT` at most.

    Raises:
        DataError: the transform needs the images at full size, or a label map cannot be read.
    """
    if isinstance(dataset, DenseDataset):
        return all(size <= CACHE_LIMIT for size in accumulate(decoded_bytes(dataset)))  # reads no more than it must
    size, padding, copies = _layout(transform)
    return copies * len(dataset) * (size + 2 * padding) ** 2 * 3 <= CACHE_LIMIT


def gather(windows: torch.Tensor, indices: np.ndarray) -> torch.Tensor:
    """Copy a batch of windows.

    Args:
        windows: uint8 [C, N, T, L, H, W, 3], any strides.
        indices: int64 [4, B], into the first four dimensions.

    Returns:
        uint8 [B, H, W, 3], contiguous, where `windows` is.
    """
    if windows.device.type == "cpu":  # NumPy copies row by row where torch copies byte by byte
        return torch.from_numpy(np.ascontiguousarray(windows.numpy()[tuple(indices)]))
    return windows[tuple(to_device(torch.from_numpy(indices), windows.device))]


def _layout(transform: Transform) -> tuple[int, int, int]:
    """Side and padding of the images as they are kept, and whether once or also mirrored (2)."""
    if isinstance(transform, PlacingTransform):
        raise DataError(
            "the cached loader keeps images at one size and cannot crop regions of random sizes: use PadAndCrop or, "
            "for image files, the DALI loader",
            "crop",
            "loader",
        )
    if isinstance(transform, ResizeCenterCrop):
        return transform.size, 0, 1
    return transform.size, transform.padding, 2 if transform.flip > 0 else 1


def _windows_of(transform: Transform, indices: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Mirrored or not, image, top and left of each image of a batch: int64 [4, B]."""
    places = np.zeros((4, len(indices)), np.int64)
    places[1] = indices
    if isinstance(transform, PadAndCrop):
        start, mirrored = transform.crops(numbers)
        places[0] = mirrored[:, 0]
        places[2:] = start.T
        # From the right edge, in the mirrored copy.
        places[3] = np.where(places[0], 2 * transform.padding - places[3], places[3])
    return places
