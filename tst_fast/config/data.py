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
        name: digits (scikit-learn's handwritten digits, written on first use), cifar10, cifar100, folder (class folders
            of images), imagenet (class folders by synset), list (files and labels in text files), webdataset (tar
            shards) or synthetic (random images, to measure everything but loading). With label maps: scenes (digits on
            photographs, made on first use), cityscapes, or pairs (folders of images and of label maps). With boxes:
            scenes, or coco (images and annotations in COCO's JSON). Or your own, as my.module:function, from root to a
            training and a test split.
        root: folder of the data. For folder and imagenet: contains train and val (for folder, or test), each with a
            folder for each class. For cifar10 and cifar100: contains the published archive, unpacked or not, or such
            class folders in train and test. For cityscapes: contains leftImg8bit and gtFine.
        train: training images. For list: text file of FILE LABEL lines, with FILE relative to root and LABEL the number
            or name of a class. For webdataset: pattern of shards relative to root; null is `train/*.tar`. For pairs and
            coco: folder of images, relative to root; null is train/images, for coco train2017.
        test: test images, likewise; for webdataset, null is `val/*.tar`, for pairs test/images, for coco val2017. For
            imagenet with a flat val folder: such a text file, with FILE relative to that folder.
        train_labels: for pairs: folder of training label maps, relative to root; null is train/labels. For coco:
            annotation file; null is annotations/instances_train2017.json.
        test_labels: the same for the test images; null is test/labels, or annotations/instances_val2017.json.
        image_suffix: for pairs: suffix of the images' names, before the extension, that label maps lack.
        label_suffix: for pairs: suffix of the label maps' names that images lack, such as _mask.
        class_names: for pairs: names of the classes, from 0.
        ids: for pairs: mapping from values in label maps to classes; other values are ignored. Null: values are
            classes.
        ignored: for pairs: values in label maps that are ignored, besides 255.
        labels: for cityscapes: which label maps to read: as published, or as its scripts convert them for training.
        exclude: text file of images to leave out, as written by `tst-fast verify-data root --write-exclude`.
        outside_root: for list, imagenet and coco: allow names in lists and annotations that lead out of root.
        download: for cifar10 and cifar100: download the archive into root if it is not there.
        images: for synthetic: number of training images; there are a tenth as many test images.
        classes: for synthetic: number of classes.
        image_size: side of the networks' input, in pixels.
        batch_size: images in a training step, over all processes together, before augmentation.
        crop: pad (pad with zeros, then crop at random), random_resized (torchvision's RandomResizedCrop); with label
            maps, scale (resize at random, then crop at random); with boxes, fit (resize at random, then crop or pad to
            a canvas).
        crop_size: for crop scale and fit: height and width of the crops, in pixels; multiples of the networks' stride.
        scale: for crop scale and fit: least and greatest resizing factor before the crop; for fit, relative to the size
            at which an image just fits the canvas.
        padding: for crop pad: pixels of zeros on each side.
        flip: probability of a horizontal flip.
        resize: in evaluation: length of the shorter side before the centre crop; null: as specified by the published
            weights that the run starts from, the teacher's first; without any, images are resized to the square itself.
        interpolation: in evaluation: interpolation of the resizing; null: likewise, else bilinear. Training is always
            bilinear.
        test_batch_size: with label maps or boxes: test images in a batch, in each process; with label maps, they must
            have one size. Null: as many as training images.
        window: with label maps: evaluate in windows of this height and width, in pixels; null: whole images.
        window_step: with label maps: step from one window to the next, down and to the right; null: windows do not
            overlap.
        mean: mean of each RGB channel, 0..1, subtracted from the images.
        std: standard deviation of each RGB channel, 0..1, by which the images are divided.
        loader: dali (reads and decodes each image in every epoch), cached (decodes once and keeps the images as uint8
            in memory), or auto: cached for crop pad if the images take at most 2 GiB, and for images without files.
        threads: CPU threads for decoding, in each process; null: its share of the available cores, at most 16.
        prefetch: number of batches that DALI prepares in advance.
        fraction: share of each class's training images to use, above 0 to 1; each class keeps at least one.
        fraction_seed: seed of the choice of these images; separate from `seed`, so that all runs of a comparison use
            the same.
        hw_decoder_load: share of JPEGs decoded by a GPU's hardware decoder, if it has one.
        preallocate_width_hint: greatest image width, in pixels, to allocate the hardware decoder for in advance; 0:
            none.
        preallocate_height_hint: greatest image height, likewise.
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
