"""CIFAR in small: files of the published formats, with few images."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import pickle
import sys
import tarfile
import threading
import urllib.error
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from tst_pipelines import ArrayDataset, DataError, ImageDataset, cifar

MODULE = sys.modules["tst_pipelines.datasets.cifar"]  # the function of this name hides it
FINE = {"cifar10": 10, "cifar100": 100}


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def planes(pixels: np.ndarray) -> np.ndarray:
    return pixels.transpose(0, 3, 1, 2).reshape(len(pixels), 3072)


def labels(name: str, count: int) -> np.ndarray:
    return np.arange(count) * 7 % FINE[name]


def names(name: str) -> list[str]:
    return [f"class{number:03d}" for number in range(FINE[name])]


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


@pytest.fixture(params=["cifar10", "cifar100"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def python_form(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten training and two test images, as torchvision's class reads them; its checksums are made to fit."""
    source = getattr(torchvision.datasets, name.upper())
    folder = tmp_path / "python" / source.base_folder
    folder.mkdir(parents=True)
    share = 10 // len(source.train_list)
    key = "labels" if name == "cifar10" else "fine_labels"
    for kind, parts, total in (("train_list", source.train_list, 10), ("test_list", source.test_list, 2)):
        listed = []
        for number, (file, _) in enumerate(parts):
            part = slice(number * share, number * share + (share if total == 10 else 2))
            pixels = images(total, total)[part]
            content = {"data": planes(pixels), key: labels(name, total)[part].tolist()}
            (folder / file).write_bytes(pickle.dumps(content))
            listed.append([file, md5(folder / file)])
        monkeypatch.setattr(source, kind, listed)
    meta = folder / source.meta["filename"]
    meta.write_bytes(pickle.dumps({source.meta["key"]: names(name)}))
    monkeypatch.setattr(source, "meta", {**source.meta, "md5": md5(meta)})
    return folder.parent


@pytest.fixture
def binary_form(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    about = MODULE._PUBLISHED[name]
    folder = tmp_path / "binary" / about.folder
    folder.mkdir(parents=True)
    for files, total in ((about.train, 10), ((about.test,), 2)):
        fine = labels(name, total).astype(np.uint8)[:, None]
        columns = [fine] if name == "cifar10" else [fine // 5, fine]
        records = np.concatenate([*columns, planes(images(total, total))], 1)
        for file, part in zip(files, np.split(records, len(files)), strict=True):
            (folder / file).write_bytes(part.tobytes())
    (folder / about.names).write_text("\n".join(names(name)) + "\n\n")
    monkeypatch.setattr(MODULE, "_TRAIN", 10)
    monkeypatch.setattr(MODULE, "_TEST", 2)
    return folder.parent


def assert_is_it(name: str, splits: tuple) -> None:
    for dataset, total, split in zip(splits, (10, 2), ("train", "test"), strict=True):
        assert isinstance(dataset, ArrayDataset)
        assert np.array_equal(dataset.images, images(total, total))
        assert np.array_equal(dataset.labels, labels(name, total))
        assert dataset.classes == tuple(names(name))
        assert dataset.path(1) == f"{'cifar-10' if name == 'cifar10' else 'cifar-100'}/{split} image 1"


def pack(root: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        for folder in root.iterdir():
            tar.add(folder, folder.name)
    return archive


def test_the_python_form(name: str, python_form: Path) -> None:
    assert_is_it(name, cifar(name, python_form))


def test_the_packed_python_form_is_unpacked(
    name: str, python_form: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = getattr(torchvision.datasets, name.upper())
    (tmp_path / "packed").mkdir()
    archive = pack(python_form, tmp_path / "packed" / source.filename)
    with pytest.raises(DataError, match=f"{source.filename} is not the file as published"):
        cifar(name, tmp_path / "packed")
    monkeypatch.setattr(source, "tgz_md5", md5(archive))
    assert_is_it(name, cifar(name, tmp_path / "packed"))


def test_the_binary_form(name: str, binary_form: Path) -> None:
    assert_is_it(name, cifar(name, binary_form))


def test_the_packed_binary_form(name: str, binary_form: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = MODULE._PUBLISHED[name]
    (tmp_path / "packed").mkdir()
    archive = pack(binary_form, tmp_path / "packed" / about.archive)
    with pytest.raises(DataError, match=f"{about.archive} is not the file as published"):
        cifar(name, tmp_path / "packed")
    monkeypatch.setitem(MODULE._PUBLISHED, name, dataclasses.replace(about, md5=md5(archive)))
    assert_is_it(name, cifar(name, tmp_path / "packed"))


def test_damaged_files_are_refused(python_form: Path, binary_form: Path, name: str) -> None:
    for file in python_form.rglob("test*"):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"is not all of CIFAR-.* as published: remove it and put .*-python.tar.gz"):
        cifar(name, python_form)
    test = next(binary_form.rglob("test*.bin"))
    test.write_bytes(test.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"test.*bin should hold .* bytes, not .*; unpack cifar-.*-binary.tar.gz from"):
        cifar(name, binary_form)
    names = next(path for path in binary_form.rglob("*.txt") if path.name == MODULE._PUBLISHED[name].names)
    whole = names.read_bytes()
    for content in (b"\xff" + whole, whole[: len(whole) // 2]):
        names.write_bytes(content)
        with pytest.raises(DataError, match=rf"{names.name} should hold {MODULE._PUBLISHED[name].classes} names"):
            cifar(name, binary_form)
    test.unlink()
    with pytest.raises(DataError, match=r"test.*bin cannot be read \(no such file or directory\): unpack cifar-"):
        cifar(name, binary_form)


def test_folders_of_images(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("test", 1)):
        for label in range(10):
            (tmp_path / split / f"class{label}").mkdir(parents=True)
            for number, pixels in enumerate(images(count, label)):
                Image.fromarray(pixels).save(tmp_path / split / f"class{label}" / f"{number}.png")
    train, test = cifar("cifar10", tmp_path)
    assert isinstance(train, ImageDataset)
    assert (len(train), len(test), train.classes) == (30, 10, test.classes)
    with pytest.raises(DataError, match="has 10 class folders: CIFAR-100 has 100"):
        cifar("cifar100", tmp_path)


def test_nothing_there_says_what_to_put_where(name: str, tmp_path: Path) -> None:
    title = "CIFAR-10" if name == "cifar10" else "CIFAR-100"
    message = f"no {title} in {tmp_path}: put {title.lower()}-python.tar.gz or .* from https://www.cs.toronto.edu"
    with pytest.raises(DataError, match=message):
        cifar(name, tmp_path)


def test_a_download_without_internet_says_what_to_put_where(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    message = r"could not be downloaded \(.*Name or service not known.*\): put cifar-.*-python.tar.gz from https"
    with pytest.raises(DataError, match=message):
        cifar(name, tmp_path, download=True)


@pytest.fixture
def server_of():
    """A function from a folder to the address of a server of its files."""
    servers = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    def serve(folder: Path) -> str:
        handler = functools.partial(Quiet, directory=str(folder))
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_download_is_checked_and_read(
    name: str, python_form: Path, tmp_path: Path, server_of: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = getattr(torchvision.datasets, name.upper())
    archive = pack(python_form, tmp_path / source.filename)
    monkeypatch.setattr(source, "url", f"{server_of(tmp_path)}/{archive.name}")
    with pytest.raises(DataError, match=r"could not be downloaded .*corrupted"):
        cifar(name, tmp_path / "new", download=True)
    monkeypatch.setattr(source, "tgz_md5", md5(archive))
    assert_is_it(name, cifar(name, tmp_path / "new", download=True))
