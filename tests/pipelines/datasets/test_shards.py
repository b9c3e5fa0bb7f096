"""WebDataset shards, against the files that they were made of and tarfile's own reading."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tst_pipelines import DaliLoader, DataError, ImageDataset, RandomResizedCrop, Share, image_shards
from tst_pipelines.datasets import cache
from tst_pipelines.sampling import Sampler


def pack(path: Path, *members: tuple[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(scope="session")
def packed(tiles: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiles in three shards, labelled by .cls, by .json, and by both."""
    root = tmp_path_factory.mktemp("shards")
    for shard in range(3):
        members = []
        for index in range(14 * shard, 14 * (shard + 1)):
            label = int(tiles.labels[index])
            key = f"./images/{index:04d}" if shard == 1 else f"{index:04d}"
            image = ("png", tiles.read(index).tobytes())
            number, words = ("cls", f"{label}\n".encode()), ("json", json.dumps({"label": label, "x": 1}).encode())
            parts = [[image, number], [words, image], [number, image, words, ("txt", b"a caption")]][shard]
            members += [(f"{key}.{extension}", content) for extension, content in parts]
        pack(root / "train" / f"{shard:03d}.tar", *members)
    return root


@pytest.fixture
def shards(packed: Path) -> ImageDataset:
    return image_shards(packed, "train/*.tar")


def test_every_member_is_where_the_index_says(shards: ImageDataset, tiles: ImageDataset) -> None:
    assert len(shards) == len(tiles)
    assert shards.labels.tolist() == tiles.labels.tolist()
    assert shards.classes == ("0", "1")
    for index in range(len(shards)):
        shard, member = shards.path(index).split(".tar/")
        with tarfile.open(f"{shard}.tar") as archive:
            content = archive.extractfile(member).read()
        assert shards.read(index).tobytes() == content == tiles.read(index).tobytes()


def test_shards_load_as_files_do_from_any_position(shards: ImageDataset, tiles: ImageDataset) -> None:
    def loader(dataset: ImageDataset, **options: int) -> DaliLoader:
        return DaliLoader(
            dataset, RandomResizedCrop(24), 4, Share(training=True, seed=7, rank=1, world_size=2), **options
        )

    with loader(tiles) as files:
        expected = [batch for _ in range(2) for batch in files]
    with loader(shards) as stopped:
        list(islice(stopped, 3))
        state = stopped.state_dict()
    with loader(shards, threads=3, prefetch=1) as resumed:
        resumed.load_state_dict(state)
        given = [batch for _ in range(2) for batch in resumed]
    assert len(given) == len(expected) - 3 == 7
    for ours, theirs in zip(given, expected[3:], strict=True):
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.labels, theirs.labels)
        assert np.array_equal(ours.indices, theirs.indices)


def test_the_kept_index_follows_the_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TST_FAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "SETTLED_SECONDS", -60)
    path = pack(tmp_path / "1.tar", ("a.png", b"one"), ("a.cls", b"4"))
    first = image_shards(tmp_path, "*.tar")
    with monkeypatch.context() as patch:
        patch.setattr("tst_pipelines.datasets.shards._scan", lambda shard: pytest.fail("indexed anew"))
        again = image_shards(tmp_path, "*.tar")
    assert again.fingerprint == first.fingerprint
    assert again.read(0).tobytes() == b"one"
    status = os.stat(path)
    pack(path, ("b.png", b"two"), ("b.cls", b"4"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert image_shards(tmp_path, "*.tar").read(0).tobytes() == b"two"


def test_a_byte_order_mark_is_no_part_of_a_label(tmp_path: Path) -> None:
    pack(tmp_path / "1.tar", ("a.png", b"one"), ("a.cls", "\ufeff1".encode()), ("b.png", b"two"), ("b.cls", b"0"))
    dataset = image_shards(tmp_path, "*.tar")
    assert (dataset.labels.tolist(), dataset.classes) == ([1, 0], ("0", "1"))


def cut_at(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


def add(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes() + content)


GOOD = [("a.png", b"x" * 600), ("a.cls", b"1"), ("b.png", b"x" * 600), ("b.cls", b"0")]
FAULTS = {
    "no shard": ([], None, r"has no shards \*.tar"),
    "no image": ([*GOOD, ("c.cls", b"1")], None, "1.tar: the sample c has 0 images among cls"),
    "two images": ([*GOOD, ("c.png", b""), ("c.jpg", b"")], None, "the sample c has 2 images among png, jpg"),
    "no label": ([*GOOD, ("c.png", b"")], None, "the sample c has no label among png"),
    "a label in parts": (
        [("c.png", b""), ("c.json", b'{"label": 1.5}')],
        None,
        "the sample c has the label 1.5",
    ),
    "no label at all": (
        [("c.png", b""), ("c.json", b'{"label": true}')],
        None,
        "the sample c has the label True",
    ),
    "json without label": ([("c.png", b""), ("c.json", b"{}")], None, "the sample c has no label among png, json"),
    "two of a kind": (
        [*GOOD, ("c.jpg", b""), ("c.JPG", b""), ("c.cls", b"1")],
        None,
        "the sample c has two members .jpg",
    ),
    "a label with zeros": (
        [("c.png", b""), ("c.cls", "cat".encode("utf-16-le"))],
        None,
        r"the sample c has the label 'c\\x00",
    ),
    "half a character": ([("c.png", b""), ("c.json", b'{"label": "\\ud800"}')], None, "the sample c has the label"),
    "no samples": ([("README/.hidden", b"")], None, "holds no samples"),
    "cut in a member": (GOOD, cut_at(800), "1.tar is not a whole, uncompressed tar file"),
    "cut between members": (GOOD, cut_at(1536 + 1024), "1.tar is damaged or cut short at byte 2560"),
    "a damaged header": (
        GOOD,
        lambda path: path.write_bytes(path.read_bytes().replace(b"b.png", b"c.png")),
        "1.tar is damaged or cut short at byte 2560",
    ),
    "joined": (GOOD, lambda path: add(path.read_bytes())(path), "1.tar has data after its end mark"),
    "text": (GOOD, lambda path: path.write_text("text"), "1.tar is not a whole, uncompressed tar file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_shard_that_would_lose_images_is_refused(fault: str, tmp_path: Path) -> None:
    members, spoil, message = FAULTS[fault]
    if members:
        path = pack(tmp_path / "1.tar", *members)
        if spoil:
            spoil(path)
    with pytest.raises(DataError, match=message):
        image_shards(tmp_path, "*.tar")


def test_a_pattern_is_relative(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'/data/\*.tar' is no pattern of names relative to"):
        image_shards(tmp_path, "/data/*.tar")


def test_a_bad_member_and_a_vanished_shard_are_named(tiles: ImageDataset, tmp_path: Path) -> None:
    good = tiles.read(0).tobytes()
    pack(tmp_path / "1.tar", ("a.png", good), ("a.cls", b"0"), ("b.png", good[:300]), ("b.cls", b"0"))
    pack(tmp_path / "2.tar", ("c.png", good), ("c.cls", b"0"))
    dataset = image_shards(tmp_path, "*.tar")
    transform = RandomResizedCrop(24, scale=(1, 1))
    with pytest.raises(DataError, match=r"cannot be read:\n  .*1.tar/b.png: truncated or damaged image\n"):
        list(DaliLoader(dataset, transform, 3, Share(training=True)))
    (tmp_path / "2.tar").unlink()
    loader = DaliLoader(dataset.select(np.array([0, 2])), transform, 1, Share(training=True))
    place = int(np.flatnonzero(Sampler(2, 2, Share(training=True)).indices(0, 0) == 1)[0])
    with pytest.raises(DataError, match=r"2.tar/c.png: no such file or directory\n"):
        list(loader)
    assert loader.step == place  # the batch before it was given


def test_a_shard_cut_after_it_was_indexed_is_named_once(tiles: ImageDataset, tmp_path: Path) -> None:
    shard = pack(tmp_path / "Photos.tar", ("c.png", tiles.read(0).tobytes()), ("c.cls", b"0"))
    dataset = image_shards(tmp_path, "*.tar")
    os.truncate(shard, 700)
    with pytest.raises(DataError, match=r"Photos.tar/c.png: the shard is shorter than when it was indexed\n"):
        list(DaliLoader(dataset, RandomResizedCrop(24), 1, Share(training=True)))
