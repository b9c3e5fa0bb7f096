"""Semantic segmentation: a class for each pixel."""

from tst_fast.tasks.segmentation.segmentation import Segmentation

__all__ = ["Segmentation"]
