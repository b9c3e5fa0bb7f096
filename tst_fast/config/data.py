"""What a run can be told of its images, as typed values."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tst_fast.config.ranges import (
    BatchSize,
    Channel,
    Count,
    Deviation,
    LabelNumber,
    PositiveShare,
    Range,
    ResizeFactor,
    Seed,
    Share,
    Side,
)

DATA_SETS = (
    "digits",
    "cifar10",
    "cifar100",
    "folder",
    "imagenet",
    "list",
    "webdataset",
    "synthetic",
    "scenes",
    "cityscapes",
    "pairs",
    "coco",
)
LABEL_MAPS = ("scenes", "pairs", "cityscapes")
"""Data sets whose images have a class for each pixel."""
BOXES = ("scenes", "coco")
"""Data sets whose images have objects in boxes."""


@dataclass
class DataConfig:
    """Images, and how they are loaded.

    Args:
        name: digits (scikit-learn's real handwritten digits, made on first use), cifar10, cifar100, folder (class
            folders of images), imagenet (the same, by synset), list (files and labels in text files), webdataset (tar
            shards) or synthetic (random images, to measure everything but loading). With a class for each pixel:
            scenes (digits on photographs, made on first use), cityscapes, or pairs (folders of images and of label
            maps). With boxes: scenes, or coco (images and annotations in COCO's JSON). Or my.module:function of your
            own, from root to a training and a test split.
        root: the folder of the images. For folder and imagenet it holds a folder for each class in train and in val
            (for folder, or in test). For cifar10 and cifar100: a published archive, what it unpacks to, or such folders
            in train and test. For cityscapes: leftImg8bit and gtFine.
        train: for list: a text file with a line FILE LABEL for each image, FILE relative to root and LABEL a class's
            number or name. For webdataset: a pattern of shards relative to root; null is `train/*.tar`. For pairs and
            coco: the folder of images, relative to root; null is train/images, for coco train2017.
        test: the same for the test images; for webdataset, null is `val/*.tar`, for pairs test/images, for coco
            val2017. For imagenet with a flat val folder: such a text file, FILE relative to that folder.
        train_labels: for pairs: the folder of label maps, relative to root; null is train/labels. For coco: the file of
            annotations; null is annotations/instances_train2017.json.
        test_labels: the same for the test images; null is test/labels, or annotations/instances_val2017.json.
        image_suffix: for pairs: what names of images, without their extension, have and those of label maps have not.
        label_suffix: the other way round, such as _mask.
        class_names: for pairs: of the classes, from 0.
        ids: for pairs: from the numbers in label maps to classes; numbers that are not named are ignored. Null: the
            numbers are the classes.
        ignored: for pairs: numbers in label maps that are ignored, besides 255.
        labels: for cityscapes: the label maps that are read: as published, or as its scripts make them for training.
        exclude: a list of images to leave out, as `tst-fast verify-data root --write-exclude` writes it.
        outside_root: for list, imagenet and coco: let the names of images in lists and annotations lead out of root.
        download: for cifar10 and cifar100: fetch the archive into root if it is not there.
        images: for synthetic: number of training images; there are a tenth as many test images.
        classes: for synthetic: number of classes.
        image_size: side of the images that the networks see, in pixels.
        batch_size: images in a training step, over all processes together, before augmentation.
        crop: pad (zeros around, then a random crop), random_resized (torchvision's RandomResizedCrop), or, with label
            maps, scale (resized at random, then a random crop), or, with boxes, fit (into a canvas, then the same).
        crop_size: for crop scale and fit: height and width of the crops, in pixels; multiples of the networks' stride.
        scale: for crop scale and fit: least and greatest factor that images are resized by before the crop; for fit, of
            the size at which an image just fits into the canvas.
        padding: pixels of zeros on each side, for crop pad.
        flip: probability of a horizontal flip.
        resize: length of the shorter side before the centre crop in evaluation; null: as the published weights say that
            the run begins from, the teacher's first; without any, resized to the square itself.
        interpolation: of the resizing in evaluation; null: likewise, else bilinear. Training images are bilinear.
        test_batch_size: with label maps or boxes: test images at a time, in each process; with label maps, they must be
            of one size. Null: as many as training images.
        window: with label maps: evaluate in windows of this height and width, in pixels; null: whole images.
        window_step: from one window to the next, down and to the right; null: the window, so that none overlap.
        mean: of each channel, 0..1; subtracted from the images.
        std: of each channel, 0..1; the images are divided by it.
        loader: dali (reads and decodes each image anew), cached (decodes once and keeps the images as uint8 on the
            device), or auto: cached for crop pad if the images take 2 GiB at most, and for images without files.
        threads: CPU threads that decode, in each process; null: its share of the cores that it may use, at most 16.
        prefetch: batches that DALI prepares ahead.
        fraction: share of each class's training images that is used, above 0 to 1; each class keeps at least one.
        fraction_seed: which images these are; apart from `seed`, so that all runs of a comparison learn from the same.
        hw_decoder_load: share of the JPEGs that a GPU's hardware decoder takes, where it has one.
        preallocate_width_hint: widest image in pixels that this decoder is prepared for at the start; 0 for none.
        preallocate_height_hint: the highest, likewise.
    """

    name: str = "folder"
    root: Path | None = None
    train: str | None = None
    test: str | None = None
    train_labels: str | None = None
    test_labels: str | None = None
    image_suffix: str = ""
    label_suffix: str = ""
    class_names: list[str] = field(default_factory=list)
    ids: dict[LabelNumber, LabelNumber] | None = None
    ignored: list[LabelNumber] = field(default_factory=list)
    labels: Literal["labelIds", "labelTrainIds"] = "labelIds"
    exclude: Path | None = None
    outside_root: bool = False
    download: bool = False
    images: Count = 50_000
    classes: Annotated[int, Range(1, 10**6)] = 1000
    image_size: Side = 224
    batch_size: BatchSize = 128
    crop: Literal["pad", "random_resized", "scale", "fit"] = "random_resized"
    crop_size: tuple[Side, Side] = (512, 1024)
    scale: tuple[ResizeFactor, ResizeFactor] = (0.5, 2.0)
    padding: Annotated[int, Range(0, 2**12)] = 4
    flip: Share = 0.5
    resize: Side | None = None
    interpolation: Literal["bilinear", "bicubic"] | None = None
    test_batch_size: BatchSize | None = None
    window: tuple[Side, Side] | None = None
    window_step: tuple[Side, Side] | None = None
    mean: tuple[Channel, Channel, Channel] = (0.485, 0.456, 0.406)
    std: tuple[Deviation, Deviation, Deviation] = (0.229, 0.224, 0.225)
    loader: Literal["auto", "dali", "cached"] = "auto"
    threads: Annotated[int, Range(1, 1024)] | None = None
    prefetch: Annotated[int, Range(1, 1024)] = 2
    fraction: PositiveShare = 1.0
    fraction_seed: Seed = 0
    hw_decoder_load: Share = 0.65
    preallocate_width_hint: Annotated[int, Range(0, 2**16)] = 0
    preallocate_height_hint: Annotated[int, Range(0, 2**16)] = 0
