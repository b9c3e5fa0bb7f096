"""Lists of files and labels, and lists of images to leave out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tst_pipelines import DataError, ImageDataset, image_folder, image_list, leave_out


def write(path: Path, *lines: str) -> Path:
    path.write_bytes("\n".join(lines).encode())
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a/1.jpg", "a/2 b.jpg", "b/3.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_numbers_are_classes(root: Path) -> None:
    dataset = image_list(write(root / "list", "a/1.jpg 2", "", "  a/2 b.jpg\t0\r", "b/3.jpg 2", ""), root)
    assert list(dataset.files) == ["a/1.jpg", "a/2 b.jpg", "b/3.jpg"]
    assert dataset.labels.tolist() == [2, 0, 2]
    assert dataset.classes == ("0", "1", "2")
    assert dataset.read(1).tobytes() == b"x"
    assert image_list(write(root / "list", "b/3.jpg 1"), root, dataset.classes).labels.tolist() == [1]


def test_a_byte_order_mark_is_no_part_of_a_name(root: Path) -> None:
    """As editors on Windows write it at the beginning of a file."""
    dataset = image_list(write(root / "list", "\ufeffa/1.jpg 0", "b/3.jpg 1"), root)
    assert list(dataset.files) == ["a/1.jpg", "b/3.jpg"]
    (kept,) = leave_out([dataset], root, write(root / "bad", "\ufeffa/1.jpg"))
    assert list(kept.files) == ["b/3.jpg"]


def test_words_are_classes_by_name_and_numbers_count_sorted_names(root: Path) -> None:
    dataset = image_list(write(root / "list", "a/1.jpg emu", "b/3.jpg cat"), root)
    assert dataset.classes == ("cat", "emu")
    assert dataset.labels.tolist() == [1, 0]
    folder = image_folder(root)
    assert image_list(write(root / "list", "b/3.jpg b", "a/1.jpg 0"), root, folder.classes).labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a/1.jpg 0", "a/1.jpg,1"], "list, line 2: expected FILE LABEL, found 'a/1.jpg,1'"),
        ([""], "is empty: give a line FILE LABEL"),
        (["a/1.jpg 1", "b/3.jpg 20261123"], "list, line 2: class numbers must be 0 to .*, got 20261123"),
        (["a/1.jpg 1.0"], "list, line 1: a label must be a whole number from 0, or a name, got '1.0'"),
        (["a/1.jpg 1", "b/3.jpg -1"], "list, line 2: a label must be .*, got '-1'"),
        (["a/1.jpg nan"], "list, line 1: a label must be .*, got 'nan'"),
        (
            ["a/1.jpg 1", "b/3.jpg l"],
            r"numbers \('1' at .*line 1\) and names \('l' at .*line 2\)",
        ),
        (["a/1.jpg 0", "../x.jpg 0"], r"list, line 2: ../x.jpg leads out of the folder"),
        (["/etc/passwd.jpg 0"], r"list, line 1: /etc/passwd.jpg leads out of the folder"),
        (["c/1.jpg 0"], r"c/1.jpg, the first image of .*list, is not there: its names are relative to"),
    ],
)
def test_a_malformed_list_is_refused(lines: list[str], message: str, root: Path) -> None:
    with pytest.raises(DataError, match=message):
        image_list(write(root / "list", *lines), root)


def test_names_lead_out_of_the_root_where_that_is_allowed(root: Path) -> None:
    (root / "in").mkdir()
    names = write(root / "list", "../a/1.jpg 0", f"{root}/b/3.jpg 1")
    with pytest.raises(DataError) as refused:
        image_list(names, root / "in")
    assert refused.value.options == ("outside",)
    assert image_list(names, root / "in", outside=True).read(1).tobytes() == b"x"
    assert len(image_list(write(root / "list", f"{root}/b/3.jpg 1", "a/../a/1.jpg 0"), root)) == 2  # they stay inside


def test_a_list_that_does_not_fit_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: the label 'cow' is neither a number below 2 nor .*\(ant, bee\)"):
        image_list(write(root / "list", "a/1.jpg bee", "b/3.jpg cow"), root, ("ant", "bee"))
    with pytest.raises(DataError, match=r"nothing cannot be read: no such file"):
        image_list(root / "nothing", root)


def splits(root: Path) -> list[ImageDataset]:
    for name in ("train/a/1.png", "train/a/2.png", "train/b/1.png", "val/a/1.png", "val/b/9.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    train = image_folder(root / "train")
    return [train, image_folder(root / "val", train.classes)]


def test_exactly_the_listed_images_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = splits(tmp_path)
    names = write(tmp_path / "bad", "train/a/1.png", "./val/b/9.png", "test/a/1.png", "")
    train, val = leave_out(before, tmp_path, names)
    assert list(train.files) == ["a/2.png", "b/1.png"]
    assert train.labels.tolist() == [0, 1]
    assert list(val.files) == ["a/1.png"]
    assert val.classes == train.classes == ("a", "b")
    assert train.fingerprint != before[0].fingerprint
    assert "train: skipped 1 of 3 images" in caplog.text
    assert "val: skipped 1 of 2 images" in caplog.text
    assert "names 1 files that are not used: test/a/1.png" in caplog.text


def test_a_list_that_leaves_out_nothing_or_everything_is_refused(tmp_path: Path) -> None:
    before = splits(tmp_path)
    with pytest.raises(DataError, match=r"names no image of .*, not even a/1.png: its names must be relative to"):
        leave_out(before, tmp_path, write(tmp_path / "bad", "a/1.png"))
    with pytest.raises(DataError, match=r"leaves out every image of .*val"):
        leave_out(before, tmp_path, write(tmp_path / "bad", "val/a/1.png", "val/b/9.png"))
