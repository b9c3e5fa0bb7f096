"""COCO's format: what is read, what is left out with a warning, what is refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tst_pipelines import DataError, Dataset, DetectionDataset, coco_detection, scene_boxes
from tst_pipelines.datasets import coco
from tst_pipelines.datasets.scenes import make_scenes


def content() -> dict[str, Any]:
    """Three images of 60 x 40, the second without objects; categories with gaps, in no order."""
    images = [{"id": number, "file_name": f"{number}.png", "height": 40, "width": 60} for number in (70, 5, 30)]
    objects = [
        {"image_id": 30, "category_id": 90, "bbox": [1, 2, 10, 20], "iscrowd": 0, "area": 123.5},
        {"image_id": 70, "category_id": 7, "bbox": [5.5, 6, 7, 8.25]},
        {"image_id": 30, "category_id": 7, "bbox": [0, 0, 60, 40], "iscrowd": 1, "area": 77},
        {"image_id": 70, "category_id": 1, "bbox": [20, 10, 5, 5], "iscrowd": 0},
    ]
    objects = [{"id": number, **row} for number, row in enumerate(objects, start=1)]
    names = [{"id": 90, "name": "tree"}, {"id": 1, "name": "car"}, {"id": 7, "name": "dog"}]
    return {"images": images, "annotations": objects, "categories": names}


def read(tmp_path: Path, given: Any, **options: Any) -> DetectionDataset:
    for number in (70, 5, 30):
        Image.fromarray(np.full((40, 60, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "boxes.json").write_text(given if isinstance(given, str) else json.dumps(given))
    return coco_detection(tmp_path, tmp_path / "boxes.json", **options)


def test_images_objects_and_classes(tmp_path: Path) -> None:
    dataset = read(tmp_path, content())
    assert isinstance(dataset, Dataset)
    assert dataset.classes == ("car", "dog", "tree")
    assert dataset.category_ids.tolist() == [1, 7, 90]
    assert [Path(dataset.path(index)).name for index in range(3)] == ["70.png", "5.png", "30.png"]
    assert dataset.image_ids.tolist() == [70, 5, 30]
    assert dataset.offsets.tolist() == [0, 2, 2, 4]
    assert dataset.labels.tolist() == [1, 0, 2, 1]
    assert dataset.boxes.tolist() == [[5.5, 6, 12.5, 14.25], [20, 10, 25, 15], [1, 2, 11, 22], [0, 0, 60, 40]]
    assert dataset.crowd.tolist() == [False, False, False, True]
    assert dataset.areas.tolist() == [7 * 8.25, 25, 123.5, 77]


def test_targets_are_padded_and_without_crowds(tmp_path: Path) -> None:
    dataset = read(tmp_path, content())
    targets = dataset.targets(np.array([2, 1, 0]))
    assert targets.labels.tolist() == [[2, -1], [-1, -1], [1, 0]]
    assert targets.boxes[0].tolist() == [[1, 2, 11, 22], [0, 0, 0, 0]]
    assert targets.boxes[2].tolist() == [[5.5, 6, 12.5, 14.25], [20, 10, 25, 15]]
    assert targets.sizes.tolist() == [[40, 60]] * 3
    assert dataset.targets(np.array([1])).labels.tolist() == [[-1]]
    many = content()
    many["annotations"] = [{"image_id": 5, "category_id": 1, "bbox": [i, 0, 2, 2]} for i in range(5)]
    assert read(tmp_path, many).targets(np.arange(3)).boxes.shape == (3, 8, 4)  # a power of two


def test_a_selection_keeps_objects_with_their_images(tmp_path: Path) -> None:
    dataset = read(tmp_path, content())
    some = dataset.select(np.array([2, 0]))
    assert list(some.files) == ["30.png", "70.png"]
    assert some.offsets.tolist() == [0, 2, 4]
    assert some.labels.tolist() == [2, 1, 1, 0]
    assert some.crowd.tolist() == [False, True, False, False]
    assert some.targets(np.array([1])).boxes.tolist() == dataset.targets(np.array([0])).boxes.tolist()
    assert len({dataset.fingerprint, some.fingerprint, dataset.select(np.array([0, 2])).fingerprint}) == 3


def test_another_split_has_the_training_splits_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    test = content()
    test["categories"] = test["categories"][::2]
    test["categories"][1]["id"] = 4
    test["annotations"] = [{"image_id": 5, "category_id": 4, "bbox": [1, 1, 9, 9]}]
    with caplog.at_level(logging.WARNING):
        dataset = read(tmp_path, test, classes=("car", "dog", "tree"))
    assert "lacks 1 of the 3 classes: car" in caplog.text
    assert dataset.classes == ("car", "dog", "tree")
    assert dataset.labels.tolist() == [1]
    assert dataset.category_ids.tolist() == [-1, 4, 90]


def test_boxes_are_clipped_or_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = content()
    boxes = [[50, 30, 20, 30], [-5, -5, 10, 10], [70, 0, 5, 5], [59.5, 0, 9, 9], [3, 3, 0, 5], [3, 3, 5, -5]]
    boxes += [[1, 1, float("nan"), 5], [0, 0, 60.0004, 40]]
    given["annotations"] = [{"image_id": 5, "category_id": 1, "bbox": box} for box in boxes]
    with caplog.at_level(logging.WARNING):
        dataset = read(tmp_path, given)
    assert dataset.boxes.tolist() == [[50, 30, 60, 40], [0, 0, 5, 5], [0, 0, 60, 40]]
    assert "left out 3 boxes without height or width" in caplog.text
    assert "left out 2 boxes with less than a pixel" in caplog.text
    assert "clipped 2 boxes" in caplog.text


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    given = content()
    change(given)
    return given


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda given: given.pop("annotations"), r"has no list of annotations: give annotations in COCO's format"),
        (lambda given: given["images"].clear(), r"has an empty list of images"),
        (lambda given: given["images"][1].pop("file_name"), r"images\[1\] has file_name None, but it must be a name"),
        (lambda given: given["images"][2].update(id="a7"), r"images\[2\] has id 'a7', but it must be a whole number"),
        (lambda given: given["images"][0].update(id=5), r"gives the image number 5 twice"),
        (lambda given: given["categories"][0].update(id=7), r"gives the category number 7 twice"),
        (lambda given: given["categories"][0].update(name="car"), "names of categories must be unique, got car"),
        (
            lambda given: given["annotations"][3].update(bbox=[1, 2, 3]),
            r"annotations\[3\] has bbox \[1, 2, 3\], but it",
        ),
        (lambda given: given["annotations"][3].update(bbox="1 2 3 4"), r"annotations\[3\] has bbox '1 2 3 4'"),
        (lambda given: given["annotations"][0].update(image_id=8), r"1 annotations are of image number 8, which it"),
        (lambda given: given["annotations"][0].update(category_id=2), r"are of category number 2, which it does not"),
        (lambda given: given["annotations"][1].update(bbox=[True, 1, 2, 3]), r"annotations\[1\] has bbox \[True, 1"),
        (lambda given: given["annotations"][1].update(bbox=[10**400, 1, 2, 3]), r"annotations\[1\] has bbox \[1000"),
        (
            lambda given: given["annotations"][2].update(area="4"),
            r"annotations\[2\] has area '4', but it must be",
        ),
        (lambda given: given["annotations"][2].update(area=float("nan")), r"annotations\[2\] has area nan"),
        (lambda given: given["annotations"][0].update(iscrowd="no"), r"annotations\[0\] has iscrowd 'no', but it"),
        (
            lambda given: given["images"][1].update(height=0),
            r"images\[1\] has height 0, but it must be",
        ),
        (lambda given: given["images"][1].update(file_name="\ud800"), r"images\[1\] has file_name '\\ud800'"),
        (lambda given: given["images"][1].update(file_name="../x.png"), r"names images out of the folder .*: ../x.png"),
        (lambda given: given["images"][0].update(file_name="x.png"), r"x.png, the first image of .*, is not there"),
    ],
)
def test_what_cannot_be_meant_is_refused(change: Callable, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, changed(change))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation/>", r"boxes.json is not JSON: .* COCO's format, to which globox"),
        ("[]", r"boxes.json has no list of images: give annotations in COCO's format"),
    ],
)
def test_another_format_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_classes_that_are_unknown_or_a_file_that_is_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has categories that the training split lacks: tree"):
        read(tmp_path, content(), classes=("car", "dog"))
    with pytest.raises(DataError, match=r"nothing.json cannot be read: no such file or directory"):
        coco_detection(tmp_path, tmp_path / "nothing.json")


def test_a_large_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TST_FAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(coco, "_WORTH_KEEPING", 1)
    monkeypatch.setattr("tst_pipelines.datasets.cache.SETTLED_SECONDS", -60)
    before = read(tmp_path, content())
    kept = coco_detection(tmp_path, tmp_path / "boxes.json")
    assert kept.fingerprint == before.fingerprint
    monkeypatch.setattr(json, "loads", lambda _: pytest.fail("it was read again"))
    kept = coco_detection(tmp_path, tmp_path / "boxes.json")
    assert (kept.fingerprint, kept.classes) == (before.fingerprint, before.classes)
    monkeypatch.undo()
    monkeypatch.setenv("TST_FAST_CACHE", str(tmp_path / "cache"))
    assert len(read(tmp_path, changed(lambda given: given["annotations"].pop())).boxes) == 3


def test_scenes_have_the_boxes_that_they_were_made_with(tmp_path: Path) -> None:
    for dataset, split in zip(scene_boxes(tmp_path), ("train", "test"), strict=True):
        made = make_scenes(split)
        assert dataset.classes == tuple("0123456789")
        assert dataset.labels.tolist() == np.concatenate([scene.digits for scene in made]).tolist()
        assert dataset.boxes.tolist() == np.concatenate([scene.boxes for scene in made]).tolist()
