"""All randomness of a step from a few numbers, so that it can be repeated."""

import numpy as np
import torch


def reseed(*numbers: int) -> None:
    """Make the global generators of torch and NumPy a function of these numbers."""
    sequence = np.random.SeedSequence(numbers)
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
    np.random.seed(sequence.generate_state(4))
