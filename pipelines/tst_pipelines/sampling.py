"""Which images make up a batch, and the random numbers of their crops and flips.

Nothing here has state: everything is a function of (seed, epoch, position in the epoch). Only raw words of NumPy's
Philox and SeedSequence are used, whose streams NumPy guarantees: the same seed gives the same run on every version.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from tst_pipelines.protocol import DataError

_ORDER, _NUMBERS = 0, 1  # the two streams of an epoch
_SUBSET = 2  # the stream of few-shot subsets
_WORDS_PER_COUNT = 4  # 64-bit words that Philox makes at each value of its counter


def _random_words(seed: int, epoch: int, stream: int, counter: int, count: int) -> np.ndarray:
    key = np.random.SeedSequence(seed, spawn_key=(epoch, stream)).generate_state(2, np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)


@lru_cache(maxsize=4)  # the epoch being read and the one being prefetched, for two loaders
def permutation(size: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch: int64 [size], each of 0..size-1 once, read-only."""
    order = np.argsort(_random_words(seed, epoch, _ORDER, 0, size), kind="stable")
    order.setflags(write=False)
    return order


def uniforms(seed: int, epoch: int, first: int, count: int, numbers: int) -> np.ndarray:
    """Uniform numbers in [0, 1) for the images at positions first..first+count-1 of an epoch: float64 [count, numbers].

    A row depends on (seed, epoch, position) and `numbers` alone: not on batch size, ranks or threads.
    """
    counts = -(-numbers // _WORDS_PER_COUNT)  # each position owns this many values of the counter
    words = _random_words(seed, epoch, _NUMBERS, first * counts, count * counts * _WORDS_PER_COUNT)
    return (words.reshape(count, counts * _WORDS_PER_COUNT)[:, :numbers] >> np.uint64(11)) * 2.0**-53


def stratified(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """A random subset of each class, for few-shot training.

    Args:
        labels: int64 [N].
        fraction: above 0, to 1; of each class the nearest whole number of images is kept, and one at least.
        seed: 0 or more. Of one seed, a smaller fraction's images are among a larger one's.

    Returns:
        Positions, int64, rising.
    """
    words = _random_words(seed, 0, _SUBSET, 0, len(labels))
    kept = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = members[np.argsort(words[members], kind="stable")]
        kept.append(order[: max(1, round(fraction * len(members)))])
    return np.sort(np.concatenate(kept))


def random_share(size: int, fraction: float, seed: int) -> np.ndarray:
    """A random subset of a data set whose images do not have one class each.

    Args:
        size: images in the data set, N.
        fraction: above 0, to 1; the nearest whole number of images is kept, and one at least.
        seed: 0 or more. Of one seed, a smaller fraction's images are among a larger one's.

    Returns:
        Positions, int64, rising.
    """
    return stratified(np.zeros(size, np.int64), fraction, seed)


@dataclass(frozen=True)
class Share:
    """The share of each epoch that one process loads, and the device it goes to.

    Attributes:
        training: True for a new random order in each epoch and full batches only; False for every image once, in order.
        seed: of order and transform; 0 or more.
        rank: this process's place among `world_size`.
        world_size: number of processes that share the images.
        device: where batches go.

    Raises:
        DataError: a value out of range.
    """

    training: bool
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (immutable)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise DataError(f"the seed must be 0 or more, got {self.seed}")
        if not 0 <= self.rank < self.world_size:
            raise DataError(f"rank must be 0 to {self.world_size - 1}, below the world size, got {self.rank}")


@dataclass(frozen=True)
class Sampler:
    """The images of one process's batches.

    Training: a new permutation for each epoch; a step takes batch_size * world_size consecutive positions of it, of
    which the rank has a contiguous batch_size; the remainder is left out, other images each time.
    Evaluation: every image exactly once over all ranks, in order; shares differ by one image at most, and a rank's last
    batch may be smaller.

    Attributes:
        size: images in the data set.
        batch_size: images of a batch, for each rank.
        share: training or evaluation, and which rank of how many; its seed does not change the order of evaluation.

    Raises:
        DataError: a batch size below 1, or a training step larger than the data set.
    """

    size: int
    batch_size: int
    share: Share

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise DataError(f"the batch size must be positive, got {self.batch_size}")
        if self.share.training and self.global_batch_size > self.size:
            ranks = self.share.world_size
            ranks = f" ({self.batch_size} on each of {ranks} ranks)" if ranks > 1 else ""
            raise DataError(
                f"the batch of {self.global_batch_size}{ranks} exceeds the {self.size} training images: "
                "lower the batch size"
            )

    @property
    def global_batch_size(self) -> int:
        """Images of a training step over all ranks."""
        return self.batch_size * self.share.world_size

    @property
    def steps(self) -> int:
        """Batches of this rank in one epoch."""
        if self.share.training:
            return self.size // self.global_batch_size
        first, last = self._evaluation_share()
        return -(-(last - first) // self.batch_size)

    def indices(self, epoch: int, step: int) -> np.ndarray:
        """Positions in the data set of a batch, by epoch and step from 0: int64 [B], the caller's own."""
        first, last = self._positions(step)
        if self.share.training:
            return permutation(self.size, self.share.seed, epoch)[first:last].copy()
        return np.arange(first, last, dtype=np.int64)

    def uniforms(self, epoch: int, step: int, numbers: int) -> np.ndarray:
        """Uniform numbers in [0, 1) of a batch: float64 [B, numbers]."""
        first, last = self._positions(step)
        return uniforms(self.share.seed, epoch, first, last - first, numbers)

    def _positions(self, step: int) -> tuple[int, int]:
        if self.share.training:
            first = step * self.global_batch_size + self.share.rank * self.batch_size
            return first, first + self.batch_size
        start, end = self._evaluation_share()
        first = start + step * self.batch_size
        return first, min(first + self.batch_size, end)

    def _evaluation_share(self) -> tuple[int, int]:
        rank, ranks = self.share.rank, self.share.world_size
        return self.size * rank // ranks, self.size * (rank + 1) // ranks
