"""Scenes: label maps and boxes of what is to be seen, and splits that have nothing in common."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tst_pipelines.datasets import scenes as module
from tst_pipelines.datasets.scenes import Scene, make_scenes, scene_folder, scenes


@pytest.fixture(scope="module")
def made() -> dict[str, list[Scene]]:
    return {split: make_scenes(split) for split in ("train", "test")}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    scene_folder(cache)
    return cache


def alone(scene: Scene, index: int) -> bool:
    """Whether the box of a digit meets no other."""
    left, top, right, bottom = scene.boxes[index]
    others = np.delete(scene.boxes, index, 0)
    apart = (others[:, 0] >= right) | (others[:, 2] <= left) | (others[:, 1] >= bottom) | (others[:, 3] <= top)
    return bool(apart.all())


def test_boxes_are_tight_around_the_label_maps(made: dict[str, list[Scene]]) -> None:
    looked_at = 0
    for scene in made["train"][:200] + made["test"][:100]:
        assert scene.label_map.max() <= 10
        for index, (digit, (left, top, right, bottom)) in enumerate(zip(scene.digits, scene.boxes, strict=True)):
            assert 0 <= left < right <= 96 and 0 <= top < bottom <= 96
            if alone(scene, index):
                rows, columns = np.nonzero(scene.label_map[top:bottom, left:right])
                assert (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1) == (
                    0,
                    0,
                    bottom - top,
                    right - left,
                )
                assert set(np.unique(scene.label_map[top:bottom, left:right])) <= {0, digit + 1}
                looked_at += 1
        outside = scene.label_map.copy()
        for left, top, right, bottom in scene.boxes:
            outside[top:bottom, left:right] = 0
        assert not outside.any()
    assert looked_at > 600


def test_digits_stand_out_from_the_photographs(made: dict[str, list[Scene]]) -> None:
    for scene in made["train"] + made["test"]:
        grey = scene.image.mean(2)
        assert grey[scene.label_map > 0].mean() > grey[scene.label_map == 0].mean() + 25


def test_splits_share_no_digit_and_no_part_of_a_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part and every digit is watched as it is taken; a photograph's values are the numbers of its columns."""
    from sklearn import datasets

    seen = {split: (set(), set()) for split in ("train", "test")}
    photos = [np.broadcast_to(np.linspace(0, 255, 640).astype(np.uint8)[:, None], (427, 640, 3))] * 2
    monkeypatch.setattr(datasets, "load_sample_images", lambda: type("Photos", (), {"images": photos}))
    for split, (digits, columns) in seen.items():
        glyph, background = module._glyph, module._background

        def watched_glyph(digit, random, digits=digits, glyph=glyph):
            digits.add(digit.tobytes())
            return glyph(digit, random)

        def watched_background(photo, random, columns=columns, background=background):
            columns.update(np.unique(photo))
            return background(photo, random)

        with monkeypatch.context() as patch:
            patch.setattr(module, "_glyph", watched_glyph)
            patch.setattr(module, "_background", watched_background)
            make_scenes(split)
    (train_digits, train_columns), (test_digits, test_columns) = seen["train"], seen["test"]
    assert len(train_digits) > 600 and len(test_digits) > 500
    assert not train_digits & test_digits
    assert max(train_columns) <= min(test_columns)  # one value at most is both sides' rounding


def test_what_is_written_is_what_was_made(cache: Path, made: dict[str, list[Scene]]) -> None:
    for split, expected in made.items():
        folder = cache / "scenes" / split
        about = json.loads((folder / "annotations.json").read_bytes())
        assert len(about["images"]) == len(expected) == {"train": 600, "test": 300}[split]
        assert [category["name"] for category in about["categories"]] == [str(digit) for digit in range(10)]
        boxes = {image["id"]: [] for image in about["images"]}
        for annotation in about["annotations"]:
            left, top, width, height = annotation["bbox"]
            boxes[annotation["image_id"]].append([annotation["category_id"] - 1, left, top, left + width, top + height])
        for image, scene in zip(about["images"], expected, strict=True):
            pixels, labels = (Image.open(folder / kind / image["file_name"]) for kind in ("images", "labels"))
            assert (pixels.mode, labels.mode, pixels.size) == ("RGB", "L", (image["width"], image["height"]))
            assert np.array_equal(np.asarray(pixels), scene.image)
            assert np.array_equal(np.asarray(labels), scene.label_map)
            assert boxes[image["id"]] == np.column_stack([scene.digits, scene.boxes]).tolist()


def test_the_same_scenes_everywhere(made: dict[str, list[Scene]]) -> None:
    """Of what a JPEG decoder does not touch."""
    digest = hashlib.sha256()
    for scene in made["train"] + made["test"]:
        for array in (scene.label_map, scene.digits.astype("<i8"), scene.boxes.astype("<i8")):
            digest.update(np.ascontiguousarray(array))
    assert digest.hexdigest()[:16] == "e81b7d22c11f6665"


def test_a_half_written_cache_is_completed(cache: Path, made: dict[str, list[Scene]]) -> None:
    annotations, label = (cache / "scenes" / name for name in ("train/annotations.json", "test/labels/0007.png"))
    before = annotations.read_bytes(), label.read_bytes()
    annotations.unlink()
    label.unlink()
    scene_folder(cache)
    assert (annotations.read_bytes(), label.read_bytes()) == before


def test_scenes_are_pairs(cache: Path, made: dict[str, list[Scene]]) -> None:
    for dataset, expected in zip(scenes(cache), made.values(), strict=True):
        assert len(dataset) == len(expected)
        assert dataset.classes == ("background", *"0123456789")
        assert np.array_equal(dataset.label_map(7), expected[7].label_map)
