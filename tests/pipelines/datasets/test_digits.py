"""The digits in the user's cache."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tst_pipelines import DataError, digits


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    digits(cache)
    return cache


def test_counts_and_split(cache: Path) -> None:
    train, test = digits(cache)
    assert np.bincount(train.labels).tolist() == [40] * 10
    assert len(test) == 1397
    assert train.classes == test.classes == tuple("0123456789")
    numbers = sorted(int(Path(file).stem) for split in (train, test) for file in split.files)
    assert numbers == list(range(1797))


def test_images_are_the_source_in_its_order(cache: Path) -> None:
    source = load_digits()
    for dataset in digits(cache):
        for index in range(0, len(dataset), 50):
            number = int(Path(dataset.files[index]).stem)
            image = Image.open(dataset.path(index))
            assert (image.mode, image.size) == ("RGB", (32, 32))
            assert source.target[number] == dataset.labels[index]
            # Bilinear enlargement keeps the mean but at the border: 8 x 8 blocks of it stay close to the source.
            blocks = np.asarray(image)[..., 0].reshape(8, 4, 8, 4).mean((1, 3)) * (16 / 255)
            assert np.corrcoef(blocks.ravel(), source.images[number].ravel())[0, 1] > 0.95


def test_a_half_written_cache_is_completed(cache: Path, tmp_path: Path) -> None:
    shutil.copytree(cache, tmp_path, dirs_exist_ok=True)
    before = [dataset.fingerprint for dataset in digits(cache)]
    shutil.rmtree(tmp_path / "digits" / "train" / "3")
    lost = next((tmp_path / "digits" / "test" / "5").iterdir())
    content = lost.read_bytes()
    lost.unlink()
    (lost.parent / ".tmp-of-a-killed-run").write_bytes(b"half")
    assert [dataset.fingerprint for dataset in digits(tmp_path)] == before
    assert lost.read_bytes() == content


def test_a_killed_write_leaves_no_broken_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, saved = Image.Image.save, []

    def die_at_the_tenth(image: Image.Image, file: object, kind: str) -> None:
        saved.append(file)
        if len(saved) == 10:
            file.write(b"half")
            raise KeyboardInterrupt
        save(image, file, kind)

    monkeypatch.setattr(Image.Image, "save", die_at_the_tenth)
    with pytest.raises(KeyboardInterrupt):
        digits(tmp_path)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(left) == 9
    for path in left:
        Image.open(path).load()


def test_two_processes_at_once(cache: Path, tmp_path: Path) -> None:
    program = "import sys; from tst_pipelines import digits; print(*[d.fingerprint for d in digits(sys.argv[1])])"
    command = [sys.executable, "-c", program, str(tmp_path)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [run.communicate()[0].split() for run in runs]
    assert answers == [[dataset.fingerprint for dataset in digits(cache)]] * 2


def test_the_cache_follows_the_environment(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TST_FAST_CACHE", str(cache))
    assert digits()[0].root == cache / "digits" / "train"
    monkeypatch.delenv("TST_FAST_CACHE")
    shutil.copytree(cache, cache / "xdg" / "tst-fast", ignore=shutil.ignore_patterns("xdg"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "xdg"))
    assert digits()[0].root == cache / "xdg" / "tst-fast" / "digits" / "train"


def test_a_cache_that_cannot_be_used_is_refused(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written to .*file.*: set TST_FAST_CACHE"):
        digits(tmp_path / "file")
    shutil.copytree(cache / "digits", tmp_path / "digits")
    shutil.copy(
        tmp_path / "digits" / "train" / "0" / digits(cache)[0].files[0][2:], tmp_path / "digits/train/0/extra.png"
    )
    with pytest.raises(DataError, match="images that are not the digits: remove this folder"):
        digits(tmp_path)
