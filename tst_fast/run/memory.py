"""Peak memory use."""

import resource
import sys

import torch


def peak_memory(device: torch.device) -> int:
    """Bytes, the most until now: what torch took of a GPU's, else what this process took; waits for nothing."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
