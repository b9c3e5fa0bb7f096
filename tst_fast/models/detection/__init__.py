"""Object detectors."""

from tst_fast.models.detection.build import build_detector
from tst_fast.models.detection.dense import DenseDetector, DenseOutput
from tst_fast.models.detection.two_stage import TwoStageDetector, TwoStageOutput

DetectionOutput = DenseOutput | TwoStageOutput
Detector = DenseDetector | TwoStageDetector

__all__ = [
    "DenseDetector",
    "DenseOutput",
    "DetectionOutput",
    "Detector",
    "TwoStageDetector",
    "TwoStageOutput",
    "build_detector",
]
