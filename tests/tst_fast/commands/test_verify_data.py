"""`tst-fast verify-data`, and leaving out what it found."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from tests.tst_fast.label_maps import pairs_flags, write_pairs
from tst_fast.cli import main
from tst_fast.config.reading import from_flags
from tst_fast.tasks.classification import load_splits
from tst_fast.tasks.segmentation.data import load_splits as load_pairs


@pytest.fixture
def root(tmp_path):
    """Twelve photographs in two classes and two splits; one is cut short and one blanked in the middle."""
    photo = Image.fromarray(load_sample_images().images[0])
    for split in ("train", "val"):
        for label in ("cat", "dog"):
            folder = tmp_path / "data" / split / label
            folder.mkdir(parents=True)
            for i in range(3):
                photo.crop((i * 90, 40, i * 90 + 200, 240)).save(folder / f"{i}.jpg")
    cut = tmp_path / "data" / "train" / "dog" / "1.jpg"
    cut.write_bytes(cut.read_bytes()[:-300])
    blank = tmp_path / "data" / "val" / "cat" / "2.jpg"
    content = blank.read_bytes()
    blank.write_bytes(content[:4000] + bytes(300) + content[4300:])
    return tmp_path / "data"


def _exit_status(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["verify-data", *map(str, arguments)])
    return stopped.value.code


def test_a_list_that_cannot_be_written_is_refused_before_the_work(root, tmp_path, capsys):
    message = f"error: --write-exclude {tmp_path / 'none/bad.txt'} cannot be written: no such file or directory"
    assert _exit_status(root, "--write-exclude", tmp_path / "none/bad.txt") == message
    assert capsys.readouterr().out == ""


def _splits(root, *flags):
    return load_splits(from_flags(["--config=folder", f"--data.root={root}", *flags]).data)


def test_bad_images_are_reported_and_left_out(root, tmp_path, capsys, caplog):
    assert _exit_status(root, "--write-exclude", tmp_path / "bad.txt", "--threads=2") == 1
    output = capsys.readouterr().out
    assert "train/dog/1.jpg: truncated or damaged image" in output
    assert "val/cat/2.jpg: damaged: corrupt jpeg data" in output
    assert "12 images, 2 bad" in output
    assert (tmp_path / "bad.txt").read_text() == "train/dog/1.jpg\nval/cat/2.jpg\n"

    whole, kept = _splits(root), _splits(root, f"--data.exclude={tmp_path / 'bad.txt'}")
    for split, bad in (("train", "dog/1.jpg"), ("test", "cat/2.jpg")):
        before, after = getattr(whole, split), getattr(kept, split)
        assert list(after.files) == [name for name in before.files if name != bad]
    assert "train: skipped 1 of 6 images" in caplog.text
    for name in ("train/dog/1.jpg", "val/cat/2.jpg"):
        Path(root / name).unlink()
    assert _exit_status(root) == 0


def test_nothing_to_look_at_is_an_error(tmp_path):
    assert "holds neither images nor shards" in _exit_status(tmp_path)
    assert "nothing cannot be read: no such file" in _exit_status(tmp_path / "nothing")
    (tmp_path / "1.tar").write_text("text")
    assert _exit_status(tmp_path) == 1


def test_imagenet_and_lists_are_read_from_the_flags(root, tmp_path):
    for split in ("train", "val"):
        for label, synset in (("cat", "n02123045"), ("dog", "n02099601")):
            (root / split / label).rename(root / split / synset)
    imagenet = _splits(root, "--data.name=imagenet")
    assert imagenet.train.classes == ("n02099601", "n02123045")
    (tmp_path / "val.txt").write_text("n02123045/0.jpg 1\nn02099601/1.jpg n02099601\n")
    flat = _splits(root, "--data.name=imagenet", f"--data.test={tmp_path / 'val.txt'}").test
    assert flat.labels.tolist() == [1, 0]
    assert Path(flat.path(0)).is_file()
    (tmp_path / "train.txt").write_text("train/n02123045/0.jpg 4\n")
    lists = [f"--data.{split}={tmp_path / 'train.txt'}" for split in ("train", "test")]
    assert _splits(root, "--data.name=list", *lists).train.labels.tolist() == [4]


def test_pairs_are_looked_at_with_the_settings_of_their_run(tmp_path, capsys):
    """Every kind of fault, each by the name of its file; what has a counterpart can be left out of a run."""
    root = write_pairs(tmp_path / "data")
    settings = ["--config", "segmentation/scenes", *pairs_flags(root)]
    sound = load_pairs(from_flags(settings).data)
    assert _exit_status(root, *settings) == 0
    assert "12 images, 0 bad" in capsys.readouterr().out
    train, test = root / "train", root / "test"
    (train / "images/0.png").write_bytes((train / "images/0.png").read_bytes()[:200])
    (test / "labels/1.png").write_bytes((test / "labels/1.png").read_bytes()[:-30])
    labels = np.asarray(Image.open(train / "labels/2.png")).copy()
    Image.fromarray(labels[:, 1:]).save(train / "labels/2.png")
    labels[3, 4] = 7
    Image.fromarray(labels).save(train / "labels/3.png")
    assert _exit_status(root, *settings, "--write-exclude", tmp_path / "bad.txt", "--threads=2") == 1
    assert "12 images, 4 bad" in (whole := capsys.readouterr().out)
    assert (tmp_path / "bad.txt").read_text() == "".join(
        f"{split}/images/{number}.png\n" for split, number in [("train", 0), ("train", 2), ("train", 3), ("test", 1)]
    )
    for fault in (
        "train/images/0.png: truncated or damaged image",
        "train/labels/2.png: has 47 x 32 pixels, and its image 48 x 32",
        "train/labels/3.png: holds 7 at row 3, column 4, but there are 3 classes",
        "test/labels/1.png: truncated or damaged image",
    ):
        assert fault in whole
    kept = load_pairs(from_flags([*settings, f"--data.exclude={tmp_path / 'bad.txt'}"]).data)
    assert list(kept.train.files) == [name for name in sound.train.files if name not in ("0.png", "2.png", "3.png")]
    assert list(kept.test.label_files) == ["0.png", "2.png", "3.png"]
    (train / "labels/5.png").unlink()
    (test / "images/3.png").unlink()
    assert _exit_status(root, *settings) == 1
    printed = capsys.readouterr().out
    assert "10 images, 4 bad, 2 other files that cannot be used" in printed
    assert "train/images/5.png: has no counterpart" in printed and "test/labels/3.png: has no counterpart" in printed


def test_settings_say_which_data_they_are_for(root, capsys):
    assert _exit_status(root, "--config", "folder") == 1
    assert "12 images, 2 bad" in capsys.readouterr().out
    assert _exit_status(root, "--write-exclud", "bad.txt") == 2
    assert "unrecognized arguments: --write-exclud bad.txt" in capsys.readouterr().err
