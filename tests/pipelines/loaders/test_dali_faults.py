"""Images that cannot be read are named."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from tst_pipelines import DaliLoader, DataError, RandomResizedCrop, ResizeCenterCrop, Share
from tst_pipelines.loaders.bad_files import data_error


def encoded(photo: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, kind, **options)
    return buffer.getvalue()


def cut(content: bytes, share: float) -> bytes:
    return content[: int(len(content) * share)]


DAMAGED = "truncated or damaged image"
FAULTS = {
    "jpeg half": ("bad.jpg", lambda photo: cut(encoded(photo, "JPEG"), 0.5), DAMAGED),
    "jpeg 90 %": ("bad.jpg", lambda photo: cut(encoded(photo, "JPEG"), 0.9), DAMAGED),
    "progressive": ("bad.jpg", lambda photo: cut(encoded(photo, "JPEG", progressive=True), 0.9), DAMAGED),
    "png half": ("bad.png", lambda photo: cut(encoded(photo, "PNG"), 0.5), DAMAGED),
    "bmp half": ("bad.bmp", lambda photo: cut(encoded(photo, "BMP"), 0.5), DAMAGED),
    "text": ("bad.jpg", lambda _: b"<html>404</html>\n" * 20, "not an image in a format that DALI decodes"),
    "empty": ("bad.jpg", lambda _: b"", "empty file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_file_is_named_with_its_fault(fault: str, photos: list, dataset_of: Callable) -> None:
    name, make, reason = FAULTS[fault]
    dataset = dataset_of(("a.jpg", photos[0]), ("b.png", photos[1]), (name, make(photos[0])), ("c.jpg", photos[1]))
    loader = DaliLoader(dataset, ResizeCenterCrop(32), 4, Share(training=False))
    with pytest.raises(DataError, match=rf"cannot be read:\n  .*{name}: {reason}\nreplace them") as raised:
        list(loader)
    assert raised.value.__suppress_context__
    assert raised.value.options == ("exclude",)
    assert "a.jpg" not in str(raised.value)
    assert loader.step == 0


def test_a_removed_file_and_all_bad_files_of_a_batch_are_named(photos: list, dataset_of: Callable) -> None:
    dataset = dataset_of(("a.png", photos[0]), ("gone.png", photos[0]), ("text.png", b"text" * 9), ("z.png", photos[1]))
    Path(dataset.path(1)).unlink()
    with pytest.raises(DataError, match=r"(?s)gone.png: no such file or directory.*text.png: not an image"):
        list(DaliLoader(dataset, ResizeCenterCrop(32), 4, Share(training=False)))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/mem, whose first byte no process has")
def test_a_disk_that_returns_errors_is_named(photos: list, dataset_of: Callable) -> None:
    dataset = dataset_of(("a.png", photos[0]), ("b.png", photos[1]))
    Path(dataset.path(1)).unlink()
    Path(dataset.path(1)).symlink_to("/proc/self/mem")
    with pytest.raises(DataError, match=r"cannot be read:\n  .*b.png: input/output error\nreplace"):
        list(DaliLoader(dataset, ResizeCenterCrop(32), 2, Share(training=False)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_named(photos: list, dataset_of: Callable) -> None:
    dataset = dataset_of(("a.png", photos[0]), ("b.png", photos[1]))
    Path(dataset.path(1)).chmod(0)
    with pytest.raises(DataError, match=r"b.png: permission denied\nreplace"):
        list(DaliLoader(dataset, ResizeCenterCrop(32), 2, Share(training=False)))


def test_a_class_folder_that_vanishes_in_a_run_is_named(photos: list, dataset_of: Callable) -> None:
    dataset = dataset_of(*[(f"{i}.png", photos[0].resize((40, 40))) for i in range(8)])
    loader = DaliLoader(dataset, ResizeCenterCrop(32), 1, Share(training=False), prefetch=1)
    next(iter(loader))
    shutil.rmtree(dataset.root / "class")
    with pytest.raises(DataError, match=r"class/\d.png: no such file or directory\nreplace"):
        list(loader)


def test_good_batches_before_the_bad_one_are_not_blamed(photos: list, dataset_of: Callable) -> None:
    small = photos[0].resize((40, 40))
    files = [(f"{i:02d}.png", b"" if i == 9 else small) for i in range(12)]
    loader = DaliLoader(dataset_of(*files), ResizeCenterCrop(32), 2, Share(training=False))
    with pytest.raises(DataError, match=r"09.png: empty file\nreplace"):
        list(loader)
    given = loader.step
    assert given <= 4  # files 8 and 9 are the fifth batch; prefetching may meet them early
    Path(loader.dataset.path(9)).write_bytes(encoded(small, "PNG"))
    assert sum(len(batch) for batch in loader) == 12 - 2 * given  # mended, it goes on where it was


def test_a_crop_above_the_cut_is_right_and_across_it_is_refused(photos: list, dataset_of: Callable) -> None:
    """A region is decoded alone: a truncated JPEG gives true pixels or an error, never grey ones."""
    whole = encoded(photos[0], "JPEG")
    root = dataset_of(("a.jpg", whole))
    path, transform = Path(root.path(0)), RandomResizedCrop(32, scale=(0.05, 0.3))
    with DaliLoader(root, transform, 1, Share(training=True)) as loader:
        expected = [batch.images for _ in range(12) for batch in loader]
    path.write_bytes(cut(whole, 0.5))
    right = refused = 0
    for epoch in range(12):
        loader = DaliLoader(root, transform, 1, Share(training=True), prefetch=1)
        loader.load_state_dict({**loader.state_dict(), "epoch": epoch})
        try:
            batch = next(iter(loader))
        except DataError:
            refused += 1
        else:
            assert torch.equal(batch.images, expected[epoch])
            right += 1
    assert right > 0
    assert refused > 0


def test_batches_being_prefetched_are_searched_after_the_one_that_failed(photos: list, dataset_of: Callable) -> None:
    dataset = dataset_of(("a.png", photos[0]), ("b.png", b""), ("c.png", b"text"))
    message = str(data_error(dataset, [[0], [1], [2]], RuntimeError("encountered:\nanything")))
    assert "b.png: empty file" in message
    assert "c.png" not in message


def test_a_failure_without_a_culprit_shows_dalis_message(photos: list, dataset_of: Callable) -> None:
    dataset = dataset_of(("a.png", photos[0]))
    reason = RuntimeError(
        "Error in operator\n\nencountered:\n\nout of memory\nCurrent pipeline object is no longer valid."
    )
    message = str(data_error(dataset, [[0]], reason))
    assert "out of memory" in message
    assert "a.png" in message
    assert "Current pipeline" not in message
