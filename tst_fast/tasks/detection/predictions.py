"""Predictions for unlabelled images: one file in COCO's format, and pictures of what was found."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tst_fast.models.detection import DetectionOutput
from tst_fast.tasks.detection.pictures import with_detections
from tst_pipelines import UnlabelledBatch


def write_predictions(
    files: Sequence[str],
    answers: Iterable[tuple[UnlabelledBatch, DetectionOutput]],
    classes: Sequence[str],
    folder: Path,
) -> None:
    """Write `detections.json`, with a score in each annotation, and `boxes/NAME` with what is sure drawn in.

    Args:
        files: names of all images that are going to be answered, as far as they can be read.
        answers: images and answers, in the order of `files`. Boxes are written in the pixels of the files.
        classes: names; a class's number is its position, from 1.
        folder: where to, which is there.
    """
    numbers = {name: number for number, name in enumerate(files, start=1)}
    images: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for batch, output in answers:
        placement = batch.placement
        assert placement is not None  # as of `FitAndPad`
        detections = output.detections([(height, width) for height, width in placement.size.tolist()])
        pictures = with_detections(batch.images, detections, tuple(classes))
        for row, (name, one) in enumerate(zip(batch.files, detections, strict=True)):
            height, width = placement.whole[row].tolist()
            images.append({"id": numbers[name], "file_name": name, "height": height, "width": width})
            boxes = placement.to_image(one["boxes"].double().cpu().numpy(), row)
            for box, score, label in zip(boxes, one["scores"].tolist(), one["labels"].tolist(), strict=True):
                about = {"id": len(found) + 1, "image_id": numbers[name], "category_id": label + 1, "iscrowd": 0}
                sides = box[2:] - box[:2]
                corner = np.concatenate([box[:2], sides]).round(3).tolist()
                found.append(about | {"bbox": corner, "area": round(float(sides.prod()), 3), "score": score})
            _save(pictures[row], _share(batch, row, pictures[row]), folder / "boxes" / name)
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    content = {"images": images, "annotations": found, "categories": categories}
    (folder / "detections.json").write_text(json.dumps(content), encoding="utf-8")


def _share(batch: UnlabelledBatch, row: int, picture: np.ndarray) -> tuple[int, int]:
    """Rows and columns of a drawn canvas that are the picture."""
    assert batch.placement is not None
    factor = picture.shape[0] // batch.images.shape[1]
    height, width = batch.placement.size[row].tolist()
    return factor * height, factor * width


def _save(pixels: np.ndarray, size: tuple[int, int], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[: size[0], : size[1]]).save(file.with_name(f"{file.name}.png"))
