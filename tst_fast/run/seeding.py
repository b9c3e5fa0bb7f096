"""Random seeds: those of a step are a function of a few numbers, so that it can be repeated."""

from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What random numbers are for; each has its own, whatever the others use up."""

    TEACHER = 1
    STUDENT = 2
    STEP = 3
    CONNECTORS = 4
    HELD_OUT_GAP = 5
    DOCTOR_GRADIENT = 6
    DOCTOR_BATCH = 7
    PICTURES = 8


def reseed(seed: int, stream: Stream, *numbers: int) -> None:
    """Make the global generators of torch and NumPy a function of a run's seed, a stream and more numbers."""
    sequence = np.random.SeedSequence([seed, stream, *numbers])
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
    np.random.seed(sequence.generate_state(4))
