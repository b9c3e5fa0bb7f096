"""Predictions for unlabelled images: label maps, and overlays."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tst_fast.config.data import DataConfig
from tst_fast.errors import UserError
from tst_fast.losses.pixels import IGNORED
from tst_fast.models.segmentation import SegmentationOutput
from tst_fast.tasks.segmentation.pictures import COLOURS, overlaid
from tst_pipelines import CITYSCAPES_IDS, UnlabelledBatch


def write_predictions(
    files: Sequence[str],
    answers: Iterable[tuple[UnlabelledBatch, SegmentationOutput]],
    classes: Sequence[str],
    folder: Path,
    data: DataConfig,
) -> None:
    """Write `labels/NAME.png` and `overlays/NAME.png` for each image, and what the numbers mean into classes.csv.

    Args:
        files: names of all images that are going to be answered, as far as they can be read.
        answers: images and answers, in the order of `files`.
        classes: names.
        folder: where to, which is there.
        data: says which numbers label maps hold, see `numbers_in_files`.

    Raises:
        UserError: two images would have one name.
    """
    _require_different_names(files)
    numbers = numbers_in_files(data, len(classes))
    with (folder / "classes.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = zip(numbers.tolist(), classes, COLOURS[: len(classes)].tolist(), strict=True)
        table = csv.writer(file)
        table.writerow(["number", "class", "red", "green", "blue"])
        table.writerows([number, name, *colour] for number, name, colour in rows)
    for batch, output in answers:
        assert batch.placement is not None  # as of `Whole`
        height, width = batch.placement.whole[0].tolist()  # of all of them; beyond is padding
        labels = output.label_map((batch.images.shape[1], batch.images.shape[2]))[:, :height, :width].cpu()
        pictures = overlaid(batch.images[:, :height, :width], labels)
        for name, map_, picture in zip(batch.files, labels.numpy(), pictures, strict=True):
            _save(numbers[map_], folder / "labels" / name)
            _save(picture, folder / "overlays" / name)


def numbers_in_files(data: DataConfig, classes: int) -> np.ndarray:
    """The number of each class in the data's own label maps, the lowest if there are several: uint8 [C].

    So that answers and label maps can be compared, and be read with the same settings.
    """
    if data.name == "cityscapes" and data.labels == "labelIds":
        return np.array(list(CITYSCAPES_IDS.values()), np.uint8)
    ids = {value: value for value in range(classes)} if data.ids is None else data.ids
    lowest = {label: value for value, label in sorted(ids.items(), reverse=True)}
    return np.array([lowest.get(label, IGNORED) for label in range(classes)], np.uint8)


def _require_different_names(files: Sequence[str]) -> None:
    seen: dict[Path, str] = {}
    for name in files:
        other = seen.setdefault(Path(name).with_suffix(""), name)
        if other != name:
            raise UserError(f"{other} and {name} would be written to the same file: remove one of them, or rename it")


def _save(pixels: np.ndarray, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file.with_suffix(".png"))
