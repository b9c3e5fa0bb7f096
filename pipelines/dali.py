"""The DALI loader: decodes on the GPU where there is one, on the CPU otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch

from pipelines.culprits import data_error
from pipelines.datasets import ImageDataset
from pipelines.protocol import Batch, DataError
from pipelines.sampling import Sampler
from pipelines.transforms import Transform

_STATE_VERSION = 1
# What a position is only valid for, and how to call it in an error.
_BOUND = {
    "dataset": "data set",
    "training": "training flag",
    "batch_size": "batch size",
    "world_size": "world size",
    "seed": "seed",
}


class DaliLoader:
    """A `Loader` that reads image files through DALI.

    Order, crops and flips are functions of (seed, epoch, position) alone: a resumed run gives the same bits, whatever
    the number of threads. The pipeline is built at the first batch and reads on across the ends of epochs.

    Args:
        dataset: the files.
        transform: what to do to each image.
        batch_size: images of a batch, for each rank.
        training: True for a new random order in each epoch and full batches only; False for every image once.
        seed: of order and transform; 0 or more.
        rank: this process's place among `world_size`.
        world_size: number of processes that share the images.
        device: where batches go. A CUDA device also decodes and resizes there; otherwise the CPU does.
        threads: DALI's worker threads.
        prefetch: batches prepared ahead.

    Raises:
        DataError: DALI is missing, or the request does not fit the data (see `Sampler`).
    """

    def __init__(
        self,
        dataset: ImageDataset,
        transform: Transform,
        batch_size: int,
        *,
        training: bool,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device = torch.device("cpu"),  # noqa: B008 (immutable)
        threads: int = 2,
        prefetch: int = 2,
    ) -> None:
        if threads < 1 or prefetch < 1:
            raise DataError(f"threads ({threads}) and prefetch ({prefetch}) must be positive")
        self._graph = _import_graph()
        self._sampler = Sampler(len(dataset), batch_size, training, seed, rank, world_size)
        self._transform = transform
        self._threads = threads
        self._prefetch = prefetch
        self._pipeline = None
        self.dataset = dataset
        self.device = torch.device(device)
        self._gpu = _gpu_of(self.device)
        self.steps_per_epoch = self._sampler.steps
        self.epoch = 0
        self.step = 0

    def __iter__(self) -> Iterator[Batch]:
        """Give the rest of the current epoch, then move to the start of the next; see `Loader`.

        Raises:
            DataError: files that cannot be read or decoded, by name.
        """
        while self.step < self.steps_per_epoch:
            batch = self._next_batch()
            self.step += 1
            yield batch
        self.epoch += 1
        self.step = 0

    def state_dict(self) -> dict[str, Any]:
        """The position and what it is only valid for, in plain Python values."""
        return {"version": _STATE_VERSION, "epoch": self.epoch, "step": self.step, **self._bound()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Move to the position of a `state_dict`.

        Raises:
            DataError: the state is of another version, or was made with other data, batch size, world size or seed.
        """
        if state.get("version") != _STATE_VERSION:
            raise DataError(f"the loader state has version {state.get('version')}; this loader reads {_STATE_VERSION}")
        ours = self._bound()
        changed = [
            f"{name} {state.get(key)!r}, now {ours[key]!r}"
            for key, name in _BOUND.items()
            if state.get(key) != ours[key]
        ]
        if changed:
            raise DataError(f"the loader state was made with {'; '.join(changed)}: resume with what it was made with")
        epoch, step = state["epoch"], state["step"]
        if epoch < 0 or not 0 <= step <= self.steps_per_epoch:
            raise DataError(f"no step {step} in epoch {epoch}: an epoch has {self.steps_per_epoch} steps")
        if (epoch, step) != (self.epoch, self.step):
            self.close()  # what is prefetched belongs to the old position
            self.epoch, self.step = epoch, step

    def close(self) -> None:
        """Release DALI's threads and memory. Closing twice is allowed; iterating again starts anew."""
        self._pipeline = None

    def __enter__(self) -> DaliLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _bound(self) -> dict[str, Any]:
        sampler = self._sampler
        return {
            "dataset": self.dataset.fingerprint,
            "training": sampler.training,
            "batch_size": sampler.batch_size,
            "world_size": sampler.world_size,
            "seed": sampler.seed,
        }

    def _next_batch(self) -> Batch:
        try:
            if self._pipeline is None:
                self._pipeline = self._start()
            stream = torch.cuda.current_stream(self.device) if self._gpu is not None else None
            (output,) = self._pipeline.run(stream)
        except RuntimeError as error:
            self.close()
            raise data_error(self._paths_ahead(), error) from None
        images = self._graph.copy_to_torch(output, stream)
        indices = self._sampler.indices(self.epoch, self.step)
        labels = torch.from_numpy(self.dataset.labels[indices])
        return Batch(self._to_device(images), self._to_device(labels), indices)

    def _start(self) -> Any:
        """A pipeline that begins at the current position."""
        first = self.epoch * self.steps_per_epoch + self.step
        pipeline = self._graph.image_pipeline(
            *_sources(self.dataset, self._sampler, self._transform.numbers, first),
            self._transform,
            "cpu" if self._gpu is None else "mixed",
            batch_size=self._sampler.batch_size,
            num_threads=self._threads,
            device_id=self._gpu,
            prefetch_queue_depth=self._prefetch,
        )
        pipeline.build()
        return pipeline

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.device.type != "cuda" or tensor.is_cuda:
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _paths_ahead(self) -> list[list[str]]:
        """The paths of the batch that is due, then of those that DALI may be preparing."""
        first = self.epoch * self.steps_per_epoch + self.step
        positions = [divmod(first + ahead, self.steps_per_epoch) for ahead in range(self._prefetch + 2)]
        return [[self.dataset.path(i) for i in self._sampler.indices(*position)] for position in positions]


def _sources(
    dataset: ImageDataset, sampler: Sampler, count: int, first: int
) -> tuple[Callable[[int], list[np.ndarray]], Callable[[int], np.ndarray]]:
    """What DALI calls for its inputs, by iteration. They must not hold the loader, or neither would ever be freed."""

    def position(iteration: int) -> tuple[int, int]:
        return divmod(first + iteration, sampler.steps)

    def names(iteration: int) -> list[np.ndarray]:
        paths = (dataset.path(index) for index in sampler.indices(*position(iteration)))
        return [np.frombuffer(os.fsencode(path), np.uint8) for path in paths]

    def numbers(iteration: int) -> np.ndarray:
        return sampler.uniforms(*position(iteration), count)

    return names, numbers


def _gpu_of(device: torch.device) -> int | None:
    """The number of the GPU that DALI runs on, or None: DALI's GPU half is for CUDA, not ROCm."""
    if device.type != "cuda" or torch.version.cuda is None:
        return None
    if not torch.cuda.is_available():
        raise DataError(f"the loader was asked for {device}, but no CUDA GPU is available: use device cpu")
    return torch.cuda.current_device() if device.index is None else device.index


def _import_graph() -> ModuleType:
    try:
        from pipelines import dali_graph
    except ImportError as error:
        raise DataError(
            f"the DALI loader needs NVIDIA DALI ({error}): pip install nvidia-dali-cuda130 (Linux only)"
        ) from None
    return dali_graph
