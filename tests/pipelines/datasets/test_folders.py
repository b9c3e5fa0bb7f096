"""Folders of class folders, against torchvision's ImageFolder."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

from tst_pipelines import DataError, image_folder


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_lists_what_torchvision_lists(tmp_path: Path) -> None:
    names = ["b/2.JPG", "b/10.png", "b/1.jpeg", "B/x.webp", "a/deep/er/z.tif", "a/deep/a.ppm", "a/y.bmp", "é/ü b.tiff"]
    touch(tmp_path, *names, "a/notes.txt", "stray.png")
    dataset, theirs = image_folder(tmp_path), ImageFolder(str(tmp_path))
    assert [dataset.path(i) for i in range(len(dataset))] == [path for path, _ in theirs.samples]
    assert dataset.labels.tolist() == theirs.targets
    assert dataset.labels.dtype == "int64"
    assert list(dataset.classes) == theirs.classes


def test_hidden_names_are_passed_over_and_others_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "a/1.png", "a/._1.png", "a/.thumbs/2.png", ".cache/3.png", "a/list.csv", "a/more.csv", "a/README")
    with caplog.at_level(logging.WARNING, "pipelines"):
        dataset = image_folder(tmp_path)
    assert list(dataset.files) == [os.path.join("a", "1.png")]
    (record,) = caplog.records
    assert "ignored 3 files" in record.getMessage()
    assert ".csv, no extension" in record.getMessage()


def test_validation_follows_the_classes_of_training(tmp_path: Path) -> None:
    train = image_folder(touch(tmp_path / "train", "ant/1.png", "bee/1.png", "cat/1.png"))
    validation = image_folder(touch(tmp_path / "val", "cat/2.png", "bee/2.png"), train.classes)
    assert validation.classes == train.classes
    assert validation.labels.tolist() == [1, 2]
    touch(tmp_path / "val", "dog/1.png")
    with pytest.raises(DataError, match="training split lacks: dog; remove"):
        image_folder(tmp_path / "val", train.classes)


def test_the_fingerprint_follows_the_content_not_the_place(tmp_path: Path) -> None:
    first = image_folder(touch(tmp_path / "one", "a/1.png", "b/2.png")).fingerprint
    assert image_folder(touch(tmp_path / "two", "a/1.png", "b/2.png")).fingerprint == first
    assert image_folder(touch(tmp_path / "three", "a/1.png", "b/3.png")).fingerprint != first
    assert image_folder(tmp_path / "one", ["b", "a"]).fingerprint != first


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "no folder .*data: give a folder"),
        (["data"], "data is a file: give a folder"),
        (["data/1.png", "data/.hidden/1.png"], "no class folders: put the images of each class"),
        (["data/a/1.png", "data/b/1.txt", "data/c/.2.png"], "class folders without images: b, c; add images"),
    ],
)
def test_unusable_folders_are_refused(tmp_path: Path, files: list[str], message: str) -> None:
    touch(tmp_path, *files)
    with pytest.raises(DataError, match=message):
        image_folder(tmp_path / "data")


@pytest.mark.parametrize("place", ["ant", "bee/2.png"])
def test_links_in_a_circle_are_named(tmp_path: Path, place: str) -> None:
    touch(tmp_path, "bee/1.png")
    (tmp_path / place).symlink_to(tmp_path / place)
    with pytest.raises(DataError, match=f"/{place} cannot be read: too many levels of symbolic links"):
        image_folder(tmp_path)
