"""Scenes of handwritten digits on photographs, with label maps and boxes: one generated data set for two tasks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tst_pipelines.datasets.cache import user_cache, write_png
from tst_pipelines.datasets.coco import coco_detection
from tst_pipelines.datasets.detections import DetectionDataset
from tst_pipelines.datasets.files import reason
from tst_pipelines.datasets.pairs import PairDataset, image_pairs
from tst_pipelines.protocol import DataError
from tst_pipelines.writing import write_whole

COUNTS = {"train": 600, "test": 300}
SIDE = 96  # pixels
_PLACES = {"train": (0.0, 0.6), "test": (0.6, 1.0)}  # of the photographs' width
_TRAIN_DIGITS = 900  # of the 1,797; the others are the test split's
_PART = (96, 192)  # pixels of a photograph's part, least and most, that become the background
_DIMMED = 0.5  # what the photographs' values are multiplied by
_DIGITS = (2, 5)  # of a scene, least and most
_GLYPH = (22, 44)  # pixels of a digit's 8 x 8, least and most
_DARKEST = 140  # of a digit's red, green and blue
_OVERLAP = 0.1  # of two digits' boxes, at most, as a share of the smaller
_ANNOTATIONS = "annotations.json"
_ATTEMPTS = 20  # to find a place for a digit, before it is left out


@dataclass(frozen=True)
class Scene:
    """One scene.

    Attributes:
        image: uint8 [SIDE, SIDE, 3], RGB.
        label_map: uint8 [SIDE, SIDE]: 0 is background, 1 to 10 are the digits 0 to 9.
        digits: int64 [D], 0..9.
        boxes: int64 [D, 4]: left, top, right, bottom of each digit, tight around its pixels, also those covered later.
    """

    image: np.ndarray
    label_map: np.ndarray
    digits: np.ndarray
    boxes: np.ndarray


def scene_folder(cache: str | Path | None = None) -> Path:
    """The folder of 600 training and 300 test scenes of 96 x 96 pixels.

    Real handwritten digits (scikit-learn's `load_digits`) in bright colours on parts of its two photographs. The two
    splits share no digit and no part of a photograph. Written on first use, as `digits` is:

        {train,test}/images/NNNN.png          RGB
        {train,test}/labels/NNNN.png          8-bit grey: 0 is background, 1 to 10 are the digits 0 to 9
        {train,test}/annotations.json         boxes, in COCO's format

    Args:
        cache: folder that holds `scenes`; by default $TST_FAST_CACHE, else $XDG_CACHE_HOME/tst-fast, else
            ~/.cache/tst-fast.

    Raises:
        DataError: the cache cannot be written, or scikit-learn is missing.
    """
    root = (Path(cache) if cache is not None else user_cache()) / "scenes"
    for split in COUNTS:
        if _is_complete(root / split, COUNTS[split]):
            continue
        try:
            _write(root / split, make_scenes(split))
        except OSError as error:
            raise DataError(
                f"the scenes cannot be written to {root} ({reason(error)}): set TST_FAST_CACHE to a folder that can be"
            ) from None
    return root


def scenes(cache: str | Path | None = None) -> tuple[PairDataset, PairDataset]:
    """The training and the test scenes with their label maps; arguments and errors as `scene_folder`."""
    folder, classes = scene_folder(cache), ("background", *"0123456789")
    train, test = (image_pairs(folder / split / "images", folder / split / "labels", classes) for split in COUNTS)
    return train, test


def scene_boxes(cache: str | Path | None = None) -> tuple[DetectionDataset, DetectionDataset]:
    """The training and the test scenes with their boxes; arguments and errors as `scene_folder`."""
    folder = scene_folder(cache)
    train, test = (coco_detection(folder / split / "images", folder / split / _ANNOTATIONS) for split in COUNTS)
    return train, test


def make_scenes(split: str) -> list[Scene]:
    """The scenes of a split, train or test: always the same."""
    try:
        from sklearn.datasets import load_digits, load_sample_images
        from sklearn.utils import Bunch
    except ImportError as error:
        raise DataError(f"the scenes need {error.name}: pip install scikit-learn") from None
    source, photos = load_digits(), load_sample_images().images
    assert isinstance(source, Bunch)  # unless asked for another form
    order = np.random.RandomState(0).permutation(len(source.target))  # RandomState: its stream never changes
    own = order[:_TRAIN_DIGITS] if split == "train" else order[_TRAIN_DIGITS:]
    random = np.random.RandomState(1 + list(COUNTS).index(split))
    low, high = _PLACES[split]
    parts = [photo[:, round(low * photo.shape[1]) : round(high * photo.shape[1])] for photo in photos]
    return [_scene(parts, source.images[own], source.target[own], random) for _ in range(COUNTS[split])]


def _scene(photos: list[np.ndarray], images: np.ndarray, targets: np.ndarray, random: np.random.RandomState) -> Scene:
    canvas = _background(photos[random.randint(len(photos))], random)
    label_map = np.zeros((SIDE, SIDE), np.uint8)
    digits, boxes = [], []
    for _ in range(random.randint(_DIGITS[0], _DIGITS[1] + 1)):
        index = random.randint(len(images))
        alpha = _glyph(images[index], random)
        colour = random.randint(_DARKEST, 256, 3)
        box = _place(alpha.shape, boxes, random)
        if box is None:
            continue
        left, top, right, bottom = box
        canvas[top:bottom, left:right] += (colour - canvas[top:bottom, left:right]) * alpha[..., None]
        label_map[top:bottom, left:right][alpha >= 0.5] = targets[index] + 1
        digits.append(targets[index])
        boxes.append(box)
    return Scene(np.rint(canvas).astype(np.uint8), label_map, np.array(digits), np.array(boxes))


def _background(photo: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """A square part of a photograph, resized and dimmed: float64 [SIDE, SIDE, 3]."""
    side = random.randint(_PART[0], _PART[1] + 1)
    top, left = (random.randint(length - side + 1) for length in photo.shape[:2])
    part = Image.fromarray(photo[top : top + side, left : left + side])
    return np.asarray(part.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float64) * _DIMMED


def _glyph(digit: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """How much of each pixel a digit, [8, 8] in 0..16, covers: float64 [h, w] in 0..1, without an empty margin."""
    side = random.randint(_GLYPH[0], _GLYPH[1] + 1)
    grey = Image.fromarray(np.rint(digit * (255 / 16)).astype(np.uint8))
    alpha = np.asarray(grey.resize((side, side), Image.Resampling.BICUBIC), np.float64) / 255
    rows, columns = np.nonzero(alpha >= 0.5)
    return alpha[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _place(shape: tuple[int, int], boxes: list[list[int]], random: np.random.RandomState) -> list[int] | None:
    """A box of this height and width that overlaps the others little, or None if none was found."""
    height, width = shape
    for _ in range(_ATTEMPTS):
        top, left = random.randint(SIDE - height + 1), random.randint(SIDE - width + 1)
        box = [left, top, left + width, top + height]
        if all(_overlap(box, other) <= _OVERLAP for other in boxes):
            return box
    return None


def _overlap(first: list[int], second: list[int]) -> float:
    """The area that two boxes share, as a share of the smaller's."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return max(width, 0) * max(height, 0) / smaller


def _write(folder: Path, made: list[Scene]) -> None:
    """Write every file, also over one that is there: its content is the same. The annotations are the last."""
    images, annotations = [], []
    for number, scene in enumerate(made, start=1):
        name = f"{number:04d}.png"
        write_png(Image.fromarray(scene.image), folder / "images" / name)
        write_png(Image.fromarray(scene.label_map), folder / "labels" / name)
        images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        for digit, (left, top, right, bottom) in zip(scene.digits.tolist(), scene.boxes.tolist(), strict=True):
            bbox = [left, top, right - left, bottom - top]
            about = {"id": len(annotations) + 1, "image_id": number, "category_id": digit + 1}
            annotations.append(about | {"bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": 0})
    categories = [{"id": digit + 1, "name": str(digit)} for digit in range(10)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    with write_whole(folder / _ANNOTATIONS) as file:
        file.write(json.dumps(content).encode())


def _is_complete(folder: Path, count: int) -> bool:
    kinds = [len(list(folder.glob(f"{kind}/[0-9]*.png"))) for kind in ("images", "labels")]
    return kinds == [count, count] and (folder / _ANNOTATIONS).is_file()
