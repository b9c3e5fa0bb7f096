"""Object detection: which objects are where."""

from tst_fast.tasks.detection.detection import Detection

__all__ = ["Detection"]
