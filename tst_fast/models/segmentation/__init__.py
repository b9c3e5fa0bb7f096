"""Segmentation networks."""

from tst_fast.models.segmentation.build import build_segmenter, without_published
from tst_fast.models.segmentation.network import SegmentationNetwork
from tst_fast.models.segmentation.output import SegmentationOutput
from tst_fast.models.segmentation.segmenter import Segmenter

__all__ = ["SegmentationNetwork", "SegmentationOutput", "Segmenter", "build_segmenter", "without_published"]
