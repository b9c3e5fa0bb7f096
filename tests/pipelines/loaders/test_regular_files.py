"""What is no image file, or far too large an image, is named; nothing is waited for."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tst_pipelines import CachedLoader, DataError, ResizeCenterCrop, Share, image_folder, image_list
from tst_pipelines.loaders import decode


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


def _load(dataset, monkeypatch):
    monkeypatch.setattr(decode, "has_dali", lambda: False)
    with CachedLoader(dataset, ResizeCenterCrop(8), 1, Share(training=False)) as loader:
        next(iter(loader))


def test_a_pipe_among_class_folders_is_refused(root):
    os.mkfifo(root / "a" / "9.png")
    with pytest.raises(DataError, match=r"9\.png cannot be read: not a regular file"):
        image_folder(root)


def test_a_pipe_in_a_list_is_refused(root, monkeypatch):
    os.mkfifo(root / "a" / "9.png")
    with pytest.raises(DataError, match=r"9\.png: not a regular file"):
        _load(_listed(root, "a/9.png"), monkeypatch)


def test_a_link_to_an_image_is_an_image(root):
    (root / "a" / "9.png").symlink_to(root / "a" / "1.png")
    dataset = image_folder(root)
    assert len(dataset) == 4 and (dataset.read(3) == dataset.read(1)).all()


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_huge_image_is_refused_from_its_header(root, monkeypatch):
    """30,000 x 30,000 pixels, of which there is not one: whoever decoded them would fail otherwise."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    (root / "a" / "9.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", b"") + _chunk(b"IEND", b""))
    with pytest.raises(DataError, match=r"9\.png: more than 178,956,970 pixels"):
        _load(_listed(root, "a/9.png"), monkeypatch)


def test_a_name_cannot_forge_a_line(root, monkeypatch):
    name = "x\nerror: all is well\x1b[2J.png"
    (root / "a" / name).write_text("no image")
    dataset = image_folder(root)
    with pytest.raises(DataError) as refused:
        _load(dataset, monkeypatch)
    assert r"a/x\nerror: all is well\x1b[2J.png: not an image" in str(refused.value)
