"""Images to uint8 batches on the device.

Importing this package loads neither DALI nor anything else of the project: building a `DaliLoader` imports DALI.
"""

from tst_pipelines.datasets.arrays import ArrayDataset
from tst_pipelines.datasets.cifar import cifar
from tst_pipelines.datasets.cityscapes import LABEL_IDS as CITYSCAPES_IDS
from tst_pipelines.datasets.cityscapes import cityscapes
from tst_pipelines.datasets.coco import coco_detection
from tst_pipelines.datasets.detections import DetectionDataset
from tst_pipelines.datasets.digits import digits
from tst_pipelines.datasets.exclusion import leave_out
from tst_pipelines.datasets.files import ImageDataset
from tst_pipelines.datasets.folders import image_folder
from tst_pipelines.datasets.label_maps import IGNORED
from tst_pipelines.datasets.lists import image_list
from tst_pipelines.datasets.pairs import PairDataset, image_pairs
from tst_pipelines.datasets.scenes import scene_boxes, scenes
from tst_pipelines.datasets.shards import ShardDataset, image_shards
from tst_pipelines.loaders.cached import CachedLoader, fits_in_cache
from tst_pipelines.loaders.dali import DaliLoader, GpuDecoding
from tst_pipelines.loaders.inspection import Inspection, inspect_boxes, inspect_images, inspect_pairs
from tst_pipelines.loaders.synthetic import SyntheticDataset, SyntheticLoader
from tst_pipelines.loaders.two_crops import TwoCrops
from tst_pipelines.loaders.unlabelled import UnlabelledBatch, images_at, unlabelled_batches
from tst_pipelines.protocol import (
    Batch,
    DataError,
    Dataset,
    Loader,
    go_to_epoch,
    skip_to_next_epoch,
)
from tst_pipelines.sampling import Share, random_share, stratified
from tst_pipelines.targets import Targets
from tst_pipelines.transforms import (
    FitAndJitter,
    FitAndPad,
    PadAndCrop,
    RandomResizedCrop,
    ResizeCenterCrop,
    ScaleCropFlip,
    Transform,
    Whole,
)

__all__ = [
    "CITYSCAPES_IDS",
    "IGNORED",
    "ArrayDataset",
    "Batch",
    "CachedLoader",
    "DaliLoader",
    "DataError",
    "Dataset",
    "DetectionDataset",
    "FitAndJitter",
    "FitAndPad",
    "GpuDecoding",
    "ImageDataset",
    "Inspection",
    "Loader",
    "PadAndCrop",
    "PairDataset",
    "RandomResizedCrop",
    "ResizeCenterCrop",
    "ScaleCropFlip",
    "ShardDataset",
    "Share",
    "SyntheticDataset",
    "SyntheticLoader",
    "Targets",
    "Transform",
    "TwoCrops",
    "UnlabelledBatch",
    "Whole",
    "cifar",
    "cityscapes",
    "coco_detection",
    "digits",
    "fits_in_cache",
    "go_to_epoch",
    "image_folder",
    "image_list",
    "image_pairs",
    "image_shards",
    "images_at",
    "inspect_boxes",
    "inspect_images",
    "inspect_pairs",
    "leave_out",
    "random_share",
    "scene_boxes",
    "scenes",
    "skip_to_next_epoch",
    "stratified",
    "unlabelled_batches",
]
