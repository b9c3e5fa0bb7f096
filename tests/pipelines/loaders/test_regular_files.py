"""What is no image file, or far too large an image, is named; nothing is waited for."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tst_pipelines import (
    CachedLoader,
    DaliLoader,
    DataError,
    PadAndCrop,
    RandomResizedCrop,
    ResizeCenterCrop,
    Share,
    coco_detection,
    image_folder,
    image_list,
)
from tst_pipelines.datasets.label_maps import label_map_shape, read_label_map
from tst_pipelines.datasets.shards import shard_index
from tst_pipelines.loaders import dali, decode


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images" / "a").mkdir(parents=True)
    for i in range(3):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / "images" / "a" / f"{i}.png")
    return tmp_path / "images"


def _listed(root, *names):
    """These files as a data set, without looking at them."""
    (root.parent / "list.txt").write_text("".join(f"{name} a\n" for name in ("a/0.png", *names)))
    return image_list(root.parent / "list.txt", root)


@pytest.fixture(params=["dali", "cached by dali", "cached by Pillow"])
def load(request, monkeypatch):
    """A function that loads all of a data set."""
    if request.param == "cached by Pillow":
        monkeypatch.setattr(decode, "has_dali", lambda: False)

    def load(dataset, resize=None):
        kind = DaliLoader if request.param == "dali" else CachedLoader
        with kind(dataset, ResizeCenterCrop(8, resize), 1, Share(training=False)) as loader:
            for _ in loader:
                pass

    return load


def test_a_pipe_among_class_folders_is_refused(root):
    os.mkfifo(root / "a" / "9.png")
    with pytest.raises(DataError, match=r"9\.png cannot be read: not a regular file"):
        image_folder(root)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)], ids=["a pipe", "a device"])
def test_what_is_no_file_in_a_list_is_refused(root, load, make):
    make(root / "a" / "9.png")
    with pytest.raises(DataError, match=r"9\.png: not a regular file"):
        load(_listed(root, "a/9.png"))


def test_a_file_is_looked_at_once_and_not_in_every_epoch(root, monkeypatch):
    looked, is_regular = [], dali._is_regular
    monkeypatch.setattr(dali, "_is_regular", lambda path: looked.append(path) or is_regular(path))
    dataset = image_folder(root)
    with DaliLoader(dataset, ResizeCenterCrop(8), 1, Share(training=True)) as loader:
        for _ in range(3):
            assert len(list(loader)) == 3
    assert sorted(looked) == [dataset.path(i) for i in range(3)]


def test_what_is_no_file_is_no_shard_label_map_or_annotation(root):
    for name in ("1.tar", "1.png", "1.json"):
        os.mkfifo(root / name)
    with pytest.raises(DataError, match="not a regular file"):
        label_map_shape(str(root / "1.png"))
    with pytest.raises(DataError, match="not a regular file"):
        coco_detection(root, root / "1.json")
    with pytest.raises(DataError, match="not a regular file"):
        shard_index(str(root / "1.tar"))


def test_a_link_to_an_image_is_an_image(root):
    (root / "a" / "9.png").symlink_to(root / "a" / "1.png")
    dataset = image_folder(root)
    assert len(dataset) == 4 and (dataset.read(3) == dataset.read(1)).all()


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.fixture
def huge(root):
    """30,000 x 30,000 pixels, of which there is not one: whoever decoded them would fail otherwise."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    path = root / "a" / "9.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", b"") + _chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("resize", [None, 9])
def test_a_huge_image_is_refused_from_its_header(root, huge, load, resize):
    with pytest.raises(DataError, match=r"9\.png: more than 178,956,970 pixels"):
        load(_listed(root, "a/9.png"), resize)


@pytest.mark.parametrize("transform", [RandomResizedCrop(8), PadAndCrop(8, 1, 0.5)])
def test_a_huge_image_is_refused_in_training(root, huge, transform):
    with (
        pytest.raises(DataError, match=r"9\.png: more than 178,956,970 pixels"),
        DaliLoader(_listed(root, "a/9.png"), transform, 2, Share(training=True)) as loader,
    ):
        next(iter(loader))


def test_a_huge_label_map_is_refused_from_its_header(huge):
    with pytest.raises(DataError, match=r"9\.png: more than 178,956,970 pixels"):
        read_label_map(str(huge))


def test_a_name_cannot_forge_a_line(root, load):
    name = "x\nerror: all is well\x1b[2J.png"
    (root / "a" / name).write_text("no image")
    dataset = image_folder(root)
    with pytest.raises(DataError) as refused:
        load(dataset)
    assert r"a/x\nerror: all is well\x1b[2J.png: not an image" in str(refused.value)
