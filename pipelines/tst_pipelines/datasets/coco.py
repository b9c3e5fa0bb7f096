"""Object detection data in the JSON format of MS-COCO (Lin et al., ECCV 2014), as pycocotools reads it."""

from __future__ import annotations

import json
import logging
import math
import os
import reprlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tst_pipelines.datasets.cache import IndexCache, stamp
from tst_pipelines.datasets.detections import DetectionDataset
from tst_pipelines.datasets.files import is_inside, read_bytes, reason, shortened
from tst_pipelines.datasets.names import Names, is_name
from tst_pipelines.protocol import DataError

logger = logging.getLogger(__name__)

_FORM = 1  # of the arrays in the cache
_WORTH_KEEPING = 10_000  # images; fewer are not cached


def coco_detection(
    images: str | Path, annotations: str | Path, classes: Sequence[str] | None = None, *, outside: bool = False
) -> DetectionDataset:
    """Read boxes from a file of COCO's format.

    Boxes are clipped to their image; those without a pixel of it, and those that are no boxes, are left out with a
    warning. Images without boxes are kept: they are background. Crowds are kept, to evaluate with. What a large file
    holds is kept in the user's cache, and read again when the file has changed (see `IndexCache`).

    Args:
        images: the folder that file names are relative to.
        annotations: the JSON file. Sizes and boxes are in the pixels of the image file, whatever EXIF says.
        classes: the training split's classes, for another split; without, the file's categories in the order of their
            numbers, which may have gaps.
        outside: whether names may lead out of `images`.

    Returns:
        The data set, in the order of the file.

    Raises:
        DataError: the file cannot be read or is malformed, an annotation names an image or a category that the file
            does not have, a number or a name is given twice, a category is not in `classes`, the first image is not
            there, or a name leads out of `images`.
    """
    file = Path(annotations)
    held = _held(file)
    order = np.argsort(held["category_ids"], kind="stable")
    category_ids, image_ids = held["category_ids"][order], held["image_ids"]
    own = Names(held["category_names"].tobytes()).select(order)
    classes, numbers = _classes(file, list(own), classes)
    image = _positions(file, "image", held["image_of"], image_ids)
    label = numbers[_positions(file, "category", held["category_of"], category_ids)]
    boxes, kept = _inside(file, held["boxes"], held["shapes"][image])
    objects = kept[np.argsort(image[kept], kind="stable")]
    ids = np.full(len(classes), -1, np.int64)
    ids[numbers] = category_ids
    dataset = DetectionDataset(
        root=Path(images),
        files=Names(held["files"].tobytes()),
        classes=classes,
        category_ids=ids,
        image_ids=image_ids,
        shapes=held["shapes"],
        offsets=np.concatenate([[0], np.cumsum(np.bincount(image[objects], minlength=len(image_ids)))]),
        boxes=boxes[objects].astype(np.float32),
        labels=label[objects],
        crowd=held["crowd"][objects],
        areas=held["areas"][objects].astype(np.float32),
    )
    if not os.path.exists(dataset.path(0)):
        raise DataError(f"{dataset.path(0)}, the first image of {file}, is not there: names are relative to {images}")
    leading = [] if outside else [name for name in dataset.files if not is_inside(name, os.fspath(images))]
    if leading:
        raise DataError(f"{file} names images out of the folder {images}: {shortened(leading)}", "outside")
    return dataset


def box_faults(annotations: str | Path) -> list[str]:
    """What is wrong with boxes of a file of COCO's format, by position and image: those that are left out or clipped.

    Raises:
        DataError: see `coco_detection`.
    """
    file = Path(annotations)
    held = _held(file)
    names, image = list(Names(held["files"].tobytes())), _positions(file, "image", held["image_of"], held["image_ids"])
    true, seen, outside, _ = _checked(held["boxes"], held["shapes"][image])
    found = []
    for marked, what in (
        (~true, "has no height or width"),
        (true & ~seen, "has less than a pixel inside the image"),
        (true & seen & outside, "reaches beyond the image"),
    ):
        found += [(at, f"annotations[{at}] of {names[image[at]]} {what}") for at in np.flatnonzero(marked).tolist()]
    return [what for _, what in sorted(found)]


def _held(file: Path) -> dict[str, np.ndarray]:
    """What the file holds, from the cache if it has not changed."""
    cache = IndexCache(f"coco {_FORM} {os.path.abspath(file)}")
    try:
        stamps = np.array([stamp(file)])
        kept = cache.recall()
        if kept and np.array_equal(kept["stamps"], stamps):
            return kept
        content = json.loads(read_bytes(os.fspath(file)).tobytes())
    except OSError as error:
        raise DataError(f"the annotations {file} cannot be read: {reason(error)}") from None
    except (ValueError, RecursionError):
        raise DataError(
            f"{file} is not JSON: give annotations in COCO's format, to which globox, among others, converts Pascal "
            "VOC's XML and YOLO's text"
        ) from None
    held = _arrays(file, content)
    if len(held["image_ids"]) >= _WORTH_KEEPING:
        cache.keep(held | {"stamps": stamps}, stamps)
    return held


def _arrays(file: Path, content: Any) -> dict[str, np.ndarray]:
    """Images, objects and categories as arrays.

    Returns:
        image_ids int64 [N], files (packed names), shapes int32 [N, 2]; category_ids int64 [C], category_names (packed);
        image_of and category_of int64 [A], boxes float64 [A, 4] (left, top, width, height), crowd bool [A], areas
        float64 [A].
    """
    images, objects, categories = (_Rows(file, content, name) for name in ("images", "annotations", "categories"))
    boxes = objects.column("bbox", _are_four_numbers, "four numbers: left, top, width and height")
    given_areas = objects.column("area", _is_area, "a number from 0, or left out")
    areas = [_area(area, box) for area, box in zip(given_areas, boxes, strict=True)]
    sides = [images.column(side, _is_side, "a whole number above 0") for side in ("height", "width")]
    crowds = objects.column("iscrowd", _is_yes_or_no, "0 or 1")
    arrays = {
        "image_ids": images.column("id", _is_whole, "a whole number"),
        "category_ids": categories.column("id", _is_whole, "a whole number"),
        "image_of": objects.column("image_id", _is_whole, "a whole number"),
        "category_of": objects.column("category_id", _is_whole, "a whole number"),
    }
    names = {
        "files": images.column("file_name", is_name, "a name"),
        "category_names": categories.column("name", is_name, "a name"),
    }
    return {
        **{key: np.array(values, np.int64) for key, values in arrays.items()},
        **{key: np.frombuffer(Names.of(values).block, np.uint8) for key, values in names.items()},
        "shapes": np.array(sides, np.int32).T,
        "boxes": np.array(boxes, np.float64).reshape(-1, 4),
        "crowd": np.array(crowds, bool),
        "areas": np.array(areas, np.float64),
    }


class _Rows:
    """One of the three lists of a file."""

    def __init__(self, file: Path, content: Any, name: str) -> None:
        self.file, self.name = file, name
        rows = content.get(name) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{file} has no list of {name}: give annotations in COCO's format")
        self.rows: list[dict[str, Any]] = rows
        if not self.rows and name != "annotations":
            raise DataError(f"{file} has an empty list of {name}")

    def column(self, key: str, valid: Callable[[Any], bool], wanted: str) -> list[Any]:
        """The values of one key, each of which must be valid."""
        values = [row.get(key) for row in self.rows]
        for position, value in enumerate(values):
            if not valid(value):
                raise DataError(
                    f"{self.file}: {self.name}[{position}] has {key} {reprlib.repr(value)}, but it must be {wanted}"
                )
        return values


def _area(given: Any, box: Sequence[float]) -> float:
    return box[2] * box[3] if given is None else given


def _is_whole(value: Any) -> bool:
    return _is_number(value) and abs(value) < 2**31 and value == int(value)


def _is_side(value: Any) -> bool:
    return _is_whole(value) and value > 0


def _is_yes_or_no(value: Any) -> bool:
    return value is None or (isinstance(value, int) and value in (0, 1))


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53)


def _is_area(value: Any) -> bool:
    return value is None or (_is_number(value) and 0 <= value < math.inf)


def _are_four_numbers(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))


def _classes(file: Path, own: Sequence[str], classes: Sequence[str] | None) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of all classes, and the position among them of each of the file's own, int64."""
    if len(set(own)) < len(own):
        twice = sorted({name for name in own if own.count(name) > 1})
        raise DataError(f"{file}: names of categories must be unique, got {shortened(twice)} more than once")
    if classes is None:
        return tuple(own), np.arange(len(own))
    if strange := sorted(set(own) - set(classes)):
        raise DataError(f"{file} has categories that the training split lacks: {shortened(strange)}; remove them")
    if absent := sorted(set(classes) - set(own)):
        logger.warning("%s lacks %d of the %d classes: %s", file, len(absent), len(classes), shortened(absent))
    return tuple(classes), np.array([list(classes).index(name) for name in own], np.int64)


def _positions(file: Path, what: str, wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Where each of the wanted numbers is among the known ones, of which none may be there twice: int64."""
    order = np.argsort(known, kind="stable")
    ranked = known[order]
    if (twice := ranked[1:][ranked[1:] == ranked[:-1]]).size:
        raise DataError(f"{file} gives the {what} number {twice[0]} twice")
    found = np.searchsorted(ranked, wanted).clip(max=len(known) - 1)
    if (unknown := wanted[ranked[found] != wanted]).size:
        raise DataError(f"{file}: {len(unknown)} annotations are of {what} number {unknown[0]}, which it does not have")
    return order[found]


def _inside(file: Path, boxes: np.ndarray, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes clipped to their images.

    Args:
        file: for the warnings.
        boxes: float64 [A, 4], left, top, width and height.
        shapes: int32 [A, 2], height and width of each box's image.

    Returns:
        float64 [A, 4], left, top, right and bottom; and the positions of those that have a pixel or more, int64.
    """
    true, seen, outside, clipped = _checked(boxes, shapes)
    for count, what in (
        ((~true).sum(), "left out %d boxes without height or width"),
        ((true & ~seen).sum(), "left out %d boxes with less than a pixel inside their image"),
        ((outside & seen).sum(), "clipped %d boxes to their image"),
    ):
        if count:
            logger.warning("%s: " + what, file, count)
    return clipped, np.flatnonzero(true & seen)


def _checked(boxes: np.ndarray, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Arguments as `_inside`.

    Returns:
        Which are boxes, which have a pixel or more inside, which reach beyond the image, bool [A] each; and the corners
        of what is inside, float64 [A, 4].
    """
    true = (np.isfinite(boxes).all(1) & (boxes[:, 2:] > 0).all(1)).astype(bool)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    clipped = np.clip(np.where(true[:, None], corners, 0), 0, np.tile(shapes[:, ::-1], 2))
    seen = np.asarray((clipped[:, 2:] - clipped[:, :2] >= 1).all(1))
    return true, seen, true & (np.abs(clipped - corners) > 1e-3).any(1), clipped
