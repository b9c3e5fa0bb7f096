"""The DALI loader: decodes on the GPU where there is one, on the CPU otherwise."""

from __future__ import annotations

import copy
import dataclasses
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tst_pipelines.datasets.files import ImageFiles
from tst_pipelines.datasets.pairs import PairDataset
from tst_pipelines.datasets.shards import ShardDataset
from tst_pipelines.loaders.bad_files import data_error
from tst_pipelines.loaders.label_reader import LabelReader
from tst_pipelines.loaders.refusals import require_one_size, require_placing
from tst_pipelines.loaders.resizing import BatchResizer
from tst_pipelines.loaders.transfer import to_device
from tst_pipelines.placement import Placement
from tst_pipelines.position import PositionedLoader
from tst_pipelines.protocol import Batch, DataError
from tst_pipelines.sampling import Share
from tst_pipelines.targets import Targets
from tst_pipelines.transforms import PlacingTransform, Transform, Whole

if TYPE_CHECKING:
    from nvidia.dali.pipeline import Pipeline


@dataclass(frozen=True)
class GpuDecoding:
    """How a GPU decodes JPEGs; of no effect on a CPU. The defaults are DALI's.

    Attributes:
        hw_decoder_load: share of the images that the hardware decoder takes where the GPU has one (A100, H100 and
            later); CUDA kernels and CPU threads decode the others. The best value depends on the number of threads.
        preallocate_width_hint: widest image in pixels that the hardware decoder's memory is made for at the start, so
            that it does not grow later, which waits for the GPU; 0 lets it grow.
        preallocate_height_hint: the highest, likewise.
    """

    hw_decoder_load: float = 0.65
    preallocate_width_hint: int = 0
    preallocate_height_hint: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.hw_decoder_load <= 1:
            raise DataError(f"hw_decoder_load must be in 0..1, got {self.hw_decoder_load}")
        if min(self.preallocate_width_hint, self.preallocate_height_hint) < 0:
            raise DataError("preallocate_width_hint and preallocate_height_hint must be 0 or more, in pixels")


class DaliLoader(PositionedLoader[ImageFiles]):
    """A `Loader` that reads image files through DALI.

    Order, crops and flips are functions of (seed, epoch, position) alone: a resumed run gives the same bits, whatever
    the number of threads. The pipeline is built at the first batch and reads on across the ends of epochs.

    Args:
        dataset: the files; of pairs, label maps are decoded on the CPU, on threads of their own.
        transform: what to do to each image.
        batch_size: images of a batch, for each rank.
        share: what this process takes of each epoch, and where to. A CUDA device also decodes and resizes there;
            otherwise the CPU does.
        threads: DALI's worker threads; without a GPU, also the number of threads that resize.
        prefetch: batches prepared ahead.
        gpu_decoding: how a GPU decodes.

    Raises:
        DataError: DALI is missing, the data set has no files, or the request does not fit the data (see `Sampler`;
            label maps need a transform that places them).
    """

    def __init__(
        self,
        dataset: ImageFiles,
        transform: Transform,
        batch_size: int,
        share: Share,
        *,
        threads: int = 2,
        prefetch: int = 2,
        gpu_decoding: GpuDecoding = GpuDecoding(),
    ) -> None:
        if threads < 1 or prefetch < 1:
            raise DataError(f"threads and prefetch must be positive, got {threads} and {prefetch}")
        if not isinstance(dataset, ImageFiles):
            raise DataError(f"the DALI loader needs image files, got {type(dataset).__name__}: use CachedLoader")
        require_placing(dataset, transform)
        self._graph = _import_graph()
        super().__init__(dataset, batch_size, share)
        self._transform = transform
        self._threads = threads
        self._prefetch = prefetch
        self._gpu_decoding = gpu_decoding
        self._pipeline: Pipeline | None = None
        self._resizer: BatchResizer | None = None
        self._label_reader: LabelReader | None = None
        self._gpu = _gpu_of(self.device)

    def _moved(self) -> None:
        self.close()  # what is prefetched belongs to the old position

    def close(self) -> None:
        """Release threads and memory. Closing twice is allowed; iterating again starts anew."""
        self._pipeline = None
        for helper in (self._resizer, self._label_reader):
            if helper is not None:
                helper.close()
        self._resizer = self._label_reader = None

    def _load(self) -> Batch:
        try:
            return self._load_next()
        except BaseException:
            self.close()  # DALI may be a batch ahead of the position
            raise

    def _load_next(self) -> Batch:
        try:
            if self._pipeline is None:
                self._pipeline = self._start()
            stream = torch.cuda.current_stream(self.device) if self._gpu is not None else None
            outputs = self._pipeline.run(stream)
        except RuntimeError as error:
            raise data_error(self.dataset, self._indices_ahead(), error) from None
        indices = self._position.indices()
        placement = self._placement(indices, outputs)
        images = self._graph.hand_over(outputs, self._resizer, placement)
        return Batch.of(to_device(images, self.device), self._targets(indices, placement), indices)

    def _placement(self, indices: np.ndarray, outputs: Sequence[Any]) -> Placement | None:
        """How the images of the batch were placed, if the transform is one that targets can follow."""
        if not isinstance(self._transform, PlacingTransform):
            return None
        shapes = outputs[1].as_array()
        if isinstance(self._transform, Whole):
            require_one_size(self.dataset, indices, shapes)
        numbers = self._position.uniforms(self._transform.random_numbers)
        return self._transform.place(shapes, numbers)

    def _targets(self, indices: np.ndarray, placement: Placement | None) -> Targets:
        if self._label_reader is None:
            return self.dataset.targets(indices, placement)
        assert placement is not None  # as `require_placing` demands of what has label maps
        return self._label_reader(indices.tolist(), placement, self._position.indices(ahead=1).tolist())

    def _start(self) -> Pipeline:
        """Build a pipeline that begins at the current position, and the helpers beside it."""
        device = "cpu" if self._gpu is None else "mixed"
        gpu = {} if self._gpu is None else dataclasses.asdict(self._gpu_decoding)
        decoder = {"device": device, "adjust_orientation": not self.dataset.targets_in_pixels, **gpu}
        if self._graph.left_to_resize(self._transform, device):
            self._resizer = BatchResizer(self._threads)
        if isinstance(self.dataset, PairDataset):
            self._label_reader = LabelReader(self.dataset, self._threads)
        pipeline = self._graph.image_pipeline(
            self._sources(),
            self._transform,
            decoder,
            batch_size=self._batch_size,
            num_threads=self._threads,
            device_id=self._gpu,
            prefetch_queue_depth=self._prefetch,
            exec_dynamic=True,  # each batch has memory of its own, which can be handed over
        )
        pipeline.build()
        return pipeline

    def _indices_ahead(self) -> list[list[int]]:
        """The images of the current batch, then of those that DALI may be preparing."""
        return [self._position.indices(ahead).tolist() for ahead in range(self._prefetch + 2)]

    def _sources(self) -> Any:
        """DALI's inputs from the position on. They must not hold the loader, or neither would ever be freed."""
        dataset, count, start = self.dataset, self._transform.random_numbers, copy.copy(self._position)
        regular = bytearray(len(dataset))  # images whose files were checked: once, as it is slow on NFS

        def numbers(iteration: int) -> np.ndarray:
            return start.uniforms(count, iteration)

        def name(index: int) -> str:
            path = dataset.path(index)
            regular[index] = regular[index] or _is_regular(path)
            return path if regular[index] else os.path.join(path, "")  # DALI would block on a pipe; so its batch fails

        def names(iteration: int) -> list[np.ndarray]:
            return [np.frombuffer(os.fsencode(name(index)), np.uint8) for index in start.indices(iteration).tolist()]

        if isinstance(dataset, ShardDataset):

            def encoded(iteration: int) -> list[np.ndarray]:
                dataset.read_ahead(start.indices(iteration + 1))
                return [_read(dataset, index) for index in start.indices(iteration).tolist()]

            return self._graph.Sources(numbers, encoded=encoded)
        return self._graph.Sources(numbers, names=names)


def _read(dataset: ShardDataset, index: int) -> np.ndarray:
    """The encoded image, or nothing if it cannot be read: its batch then fails when it is due, and names the image."""
    try:
        return dataset.read(index)
    except OSError:
        return np.empty(0, np.uint8)


def _is_regular(path: str) -> bool:
    """Whether it is a regular file, which can be read without blocking."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False  # its batch fails in any case


def _gpu_of(device: torch.device) -> int | None:
    """The number of the GPU that DALI runs on, or None: DALI's GPU half is for CUDA, not ROCm."""
    if device.type != "cuda" or torch.version.cuda is None:
        return None
    if not torch.cuda.is_available():
        raise DataError(f"the loader was asked for {device}, but no CUDA GPU is available: use device cpu")
    return torch.cuda.current_device() if device.index is None else device.index


def _import_graph() -> ModuleType:
    try:
        from tst_pipelines.loaders import dali_graph
    except ImportError as error:
        raise DataError(
            f"the DALI loader needs NVIDIA DALI ({error}): pip install 'tst-fast[cuda13]' (or [cuda12]); Linux only"
        ) from None
    return dali_graph
