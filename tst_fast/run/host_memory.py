"""How glibc treats the memory of tensors on a CPU."""

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3)."""
LARGEST = 2**30
OLDER_LARGEST = 2**25  # what glibc before 2.35 takes at most for blocks of their own
SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
"""Variables of the environment by which a user says it."""


def keep_freed_memory() -> bool:
    """Have blocks that a step frees kept for the next one: otherwise the kernel clears each page of every step anew.

    Returns:
        Whether it was done: not without glibc, nor where the environment says something of its own.
    """
    if any(name in os.environ for name in SETTINGS):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    taken = mallopt(_MMAP_THRESHOLD, LARGEST) or mallopt(_MMAP_THRESHOLD, OLDER_LARGEST)
    return bool(taken and mallopt(_TRIM_THRESHOLD, LARGEST))
