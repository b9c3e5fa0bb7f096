"""Which image belongs to which label map, and what the numbers in it mean."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tst_pipelines import DataError, Dataset, PairDataset, cityscapes, image_pairs

CLASSES = ("road", "sky", "tree")


def write(folder: Path, names: Iterable[str], values: np.ndarray | None = None) -> Path:
    """Label maps, or black images, of these names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 6, 3), np.uint8) if values is None else values).save(folder / name)
    return folder


def pairs(tmp_path: Path, values: np.ndarray, **options) -> PairDataset:
    """One pair."""
    images, labels = write(tmp_path / "images", ["a.png"]), write(tmp_path / "labels", ["a.png"], values)
    return image_pairs(images, labels, CLASSES, **options)


def test_files_are_paired_by_name_and_suffix_in_any_depth(tmp_path: Path) -> None:
    images = write(tmp_path / "i", ["b/2_rgb.jpg", "b/1_rgb.png", "a/2_rgb.png", "a/note.png"])
    label = np.zeros((4, 6), np.uint8)
    labels = write(tmp_path / "l", ["a/2_id.png", "b/1_id.png", "b/2_id.png", "b/2_color.png"], label)
    dataset = image_pairs(images, labels, CLASSES, image_suffix="_rgb", label_suffix="_id")
    assert isinstance(dataset, Dataset)
    assert list(dataset.files) == ["a/2_rgb.png", "b/1_rgb.png", "b/2_rgb.jpg"]
    assert list(dataset.label_files) == ["a/2_id.png", "b/1_id.png", "b/2_id.png"]
    some = dataset.select(np.array([2, 0]))
    assert [some.path(0), some.label_path(1)] == [str(images / "b/2_rgb.jpg"), str(labels / "a/2_id.png")]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ([f"{i}.png" for i in range(9)], ["0.png", "1.png"], r"7 of 9 images in .*i .* in .*l .*: 2.png.* and 2 more$"),
        (["0.png"], ["0.png", "x/0.png"], r"1 of 2 images in .*l .* have no counterpart in .*i .*: x/0.png$"),
        (["0.png", "0.jpg"], ["0.png"], r"i holds both 0.jpg and 0.png: leave one of them out"),
        (["0.png"], [], r"l holds no images with names ending in '' before"),
    ],
)
def test_files_without_counterpart_are_named(images: list, labels: list, message: str, tmp_path: Path) -> None:
    write(tmp_path / "i", images)
    (tmp_path / "l").mkdir()
    write(tmp_path / "l", labels, np.zeros((4, 6), np.uint8))
    with pytest.raises(DataError, match=message):
        image_pairs(tmp_path / "i", tmp_path / "l", CLASSES)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.* cannot be read: no such file or directory"):
        image_pairs(tmp_path / "nowhere", tmp_path, CLASSES)


def test_numbers_in_files_become_classes(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2, 255], [7, 2, 1, 0]], np.uint8)
    values[1, 0] = 2
    assert pairs(tmp_path, values).label_map(0).tolist() == values.tolist()
    assert pairs(tmp_path, values, ignored=[2]).label_map(0).tolist() == [[0, 1, 255, 255], [255, 255, 1, 0]]
    mapped = pairs(tmp_path, values, ids={2: 0, 255: 2})  # a mask's 255 may be a class
    assert mapped.label_map(0).tolist() == [[255, 255, 0, 2], [0, 0, 255, 255]]


def test_a_number_that_is_no_class_is_named_with_its_place(tmp_path: Path) -> None:
    values = np.zeros((5, 6), np.uint8)
    values[3, 4], values[4, 0] = 34, 9
    with pytest.raises(DataError, match=r"a.png holds 34 at row 3, column 4, but there are 3 classes") as raised:
        pairs(tmp_path, values).label_map(0)
    assert raised.value.options == ("ids", "ignored")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ids": {256: 0}}, "ids: 256 for class 0: values are 0 to 255"),
        ({"ids": {4: 3}}, "ids: 4 for class 3: .* classes 0 to 2"),
        ({"ignored": [-1]}, "ids: -1 for class 255"),
    ],
)
def test_impossible_ids_are_refused(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        pairs(tmp_path, np.zeros((4, 6), np.uint8), **options)


def test_the_fingerprint_is_of_names_classes_and_numbers(tmp_path: Path) -> None:
    values = np.zeros((4, 6), np.uint8)
    one = pairs(tmp_path / "one", values)
    assert pairs(tmp_path / "two", values).fingerprint == one.fingerprint
    others = [
        pairs(tmp_path / "one", values, ignored=[2]),
        image_pairs(one.root, one.label_root, ("road", "sky", "bush")),
        one.select(np.array([], np.int64)),
    ]
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_cityscapes_as_published(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All numbers that its labels.py knows, in both files that it has."""
    train_ids = dict.fromkeys(range(34), 255)
    evaluated = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    train_ids |= {number: position for position, number in enumerate(evaluated)}
    numbers = np.array([*range(34), 255, 255], np.uint8).reshape(6, 6)
    expected = np.array([*train_ids.values(), 255, 255], np.uint8).reshape(6, 6)
    names = [f"zurich/zurich_{i:06d}_000019" for i in range(3)]
    write(tmp_path / "leftImg8bit/train", [f"{name}_leftImg8bit.png" for name in names])
    files = {"labelIds": numbers, "labelTrainIds": expected, "color": numbers, "instanceIds": numbers}
    for kind, values in files.items():
        write(tmp_path / "gtFine/train", [f"{name}_gtFine_{kind}.png" for name in names], values)
    with caplog.at_level(logging.WARNING):
        both = [cityscapes(tmp_path, "train", kind) for kind in ("labelIds", "labelTrainIds")]
    assert "holds 3 of Cityscapes' 2975 pairs" in caplog.text
    for dataset in both:
        assert len(dataset) == 3
        assert dataset.classes[:3] == ("road", "sidewalk", "building") and dataset.classes[18] == "bicycle"
        assert np.array_equal(dataset.label_map(1), expected)
    with pytest.raises(DataError, match=r"leftImg8bit/val.* cannot be read: no such file"):
        cityscapes(tmp_path, "val")
