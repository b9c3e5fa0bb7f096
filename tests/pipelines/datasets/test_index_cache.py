"""The list of a large folder: small in memory, kept while it is true, and never a moment longer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tst_pipelines import image_folder
from tst_pipelines.datasets import cache, folders
from tst_pipelines.datasets.names import Names


@pytest.fixture
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two classes whose list is kept at once, and the cache beside it."""
    monkeypatch.setenv("TST_FAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(folders, "_WORTH_KEEPING", 1)
    monkeypatch.setattr(cache, "SETTLED_SECONDS", -60)
    for name in ("a/1.png", "a/deep/2.png", "a/notes.txt", "b/ü 3.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    return tmp_path / "data"


def listed(root: Path) -> tuple:
    dataset = image_folder(root)
    return list(dataset.files), dataset.labels.tolist(), dataset.classes, dataset.fingerprint


def forbid_listing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(folders, "_listed", lambda root: pytest.fail("listed anew"))


def test_names_are_a_sequence() -> None:
    plain = ["a/1.png", "", "ü b.png", os.fsdecode(b"\xff.png"), "a/1.png"]
    names = Names.of(plain)
    assert list(names) == plain
    assert [names[i] for i in (-1, 2)] == [plain[-1], plain[2]]
    assert list(names[1:4:2]) == plain[1:4:2]
    assert Names.of(names) is names
    assert list(Names.of([])) == []
    with pytest.raises(IndexError):
        names[5]


def test_the_kept_list_is_the_list(remembered: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    before = listed(remembered)
    assert "ignored 1 files" in caplog.text
    caplog.clear()
    forbid_listing(monkeypatch)
    assert listed(remembered) == before
    assert "ignored 1 files" in caplog.text
    assert list(image_folder(remembered, ["b", "a"]).files) == [before[0][2], *before[0][:2]]


CHANGES = {
    "an image added": lambda root: (root / "b" / "4.png").touch(),
    "an image added deep": lambda root: (root / "a" / "deep" / "4.png").touch(),
    "an image removed": lambda root: (root / "a" / "1.png").unlink(),
    "an image renamed": lambda root: (root / "a" / "1.png").rename(root / "a" / "0.png"),
    "a class added": lambda root: shutil.copytree(root / "a", root / "c"),
    "a class removed": lambda root: shutil.rmtree(root / "b"),
    "a class renamed": lambda root: (root / "b").rename(root / "c"),
    "a class replaced by a link": lambda root: (
        (root / "b").rename(root.parent / "elsewhere"),
        shutil.copytree(root / "a", root.parent / "other"),
        (root / "b").symlink_to(root.parent / "other"),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_even_under_the_old_times(change: str, remembered: Path, tmp_path: Path) -> None:
    before = listed(remembered)
    times = {folder: os.stat(folder) for folder, *_ in os.walk(remembered)}
    CHANGES[change](remembered)
    for folder, status in times.items():  # as tar and rsync do
        if os.path.isdir(folder):
            os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = listed(remembered)
    assert after != before
    shutil.rmtree(tmp_path / "cache")
    assert listed(remembered) == after


def test_a_folder_that_has_just_changed_is_not_kept(remembered: Path, tmp_path: Path, monkeypatch) -> None:
    """Another change in the same tick of the clock would not show."""
    monkeypatch.setattr(cache, "SETTLED_SECONDS", 60)
    image_folder(remembered)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("spoil", ["cut", "text", "another form", "a folder"])
def test_a_spoilt_cache_is_passed_over(spoil: str, remembered: Path, tmp_path: Path, monkeypatch) -> None:
    before = listed(remembered)
    (file,) = (tmp_path / "cache" / "index").iterdir()
    if spoil == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif spoil == "text":
        file.write_text("text")
    elif spoil == "another form":
        monkeypatch.setattr(folders, "IMAGE_EXTENSIONS", (".png", ".gif"))
    else:
        file.unlink()
        file.mkdir()
    assert listed(remembered) == before


def test_a_cache_that_cannot_be_written_does_no_harm(remembered: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "cache").write_text("in the way")
    assert len(image_folder(remembered)) == 3
    for name in ("TST_FAST_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as of a user without a home
    assert len(image_folder(remembered)) == 3


FULL_SIZE = """
import json, os, sys, time
from pathlib import Path
import numpy as np
from PIL import Image
from tst_pipelines import DaliLoader, RandomResizedCrop, Share, image_folder
from tst_pipelines.datasets import cache, folders
from tst_pipelines.datasets.names import Names
from tst_pipelines.sampling import Sampler, Share

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def simulate(root, images, classes):
    listing = folders.Listing([f"n{label:08d}" for label in range(classes)])
    listing.counts = [images // classes + (label < images % classes) for label in range(classes)]
    parts = zip(listing.classes, listing.counts)
    listing.names = Names.of(f"{name}/{name}_{i}.JPEG" for name, count in parts for i in range(count))
    for name in listing.classes:
        (root / name).mkdir()
    sampler = Sampler(images, 8, Share(training=True))
    for index in np.concatenate([sampler.indices(0, step) for step in range(4)]):
        Image.new("RGB", (40, 30), "red").save(root / listing.names[index])
    listing.folders = ["", *listing.classes]
    listing.stamps = [cache.stamp(root / folder) for folder in listing.folders]
    cache.SETTLED_SECONDS = -60
    folders._index_cache(root).keep(folders._arrays(listing), np.array(listing.stamps))

root, images = Path(sys.argv[1]), int(sys.argv[2])
if len(sys.argv) > 3:
    simulate(root, images, 1000)
else:
    before, begun = resident(), time.perf_counter()
    dataset = image_folder(root)
    loader = DaliLoader(dataset, RandomResizedCrop(24), 8, Share(training=True))
    loader.state_dict()
    index = resident() - before
    batch = next(iter(loader))
    print(json.dumps({
        "images": len(dataset), "first": batch.indices.tolist(), "seconds": time.perf_counter() - begun,
        "index": index, "all": resident() - before,
    }))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads its memory in /proc")
def test_a_million_images_take_seconds_and_little_memory(tmp_path: Path) -> None:
    """ImageNet's size, by its list and folders; only the images of the first batches are there."""
    (tmp_path / "data").mkdir()
    environment = {**os.environ, "TST_FAST_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FULL_SIZE, str(tmp_path / "data"), "1281167"]
    subprocess.run([*command, "simulate"], env=environment, check=True)
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    result = json.loads(output)
    assert result["images"] == 1281167
    assert len(set(result["first"])) == 8
    assert result["seconds"] < 15
    assert result["index"] < 150e6
    assert result["all"] < 300e6  # with DALI's own
