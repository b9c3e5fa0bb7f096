"""Every kind of label map is read to the bit, or refused by name."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipelines.pngs import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, chunk, png
from tst_pipelines import DataError
from tst_pipelines.datasets.label_maps import label_map_shape, read_label_map

SHAPE = (37, 61)


def labels(highest: int = 255) -> np.ndarray:
    numbers = np.random.default_rng(1).integers(0, highest + 1, SHAPE)
    numbers[0, :2] = 0, highest
    return numbers


def read(tmp_path: Path, content: bytes) -> np.ndarray:
    (tmp_path / "label.png").write_bytes(content)
    assert label_map_shape(str(tmp_path / "label.png")) == SHAPE
    return read_label_map(str(tmp_path / "label.png"))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", [GREY, PALETTE])
@pytest.mark.parametrize("transparent", [False, True])
def test_grey_and_palettes_of_every_depth(depth: int, kind: int, transparent: bool, tmp_path: Path) -> None:
    expected = labels(2**depth - 1)
    mark = chunk(b"tRNS", b"\0\0" if kind == GREY else b"\0") if transparent else b""  # of the label 0
    values = read(tmp_path, png(expected, depth, kind, mark))
    assert values.dtype == np.uint8
    assert np.array_equal(values, expected)


@pytest.mark.parametrize("colours", [2, 4, 16, 200, 256])
@pytest.mark.parametrize("options", [{}, {"transparency": 0}, {"optimize": True}])
def test_palettes_that_pillow_writes(colours: int, options: dict, tmp_path: Path) -> None:
    expected = labels(colours - 1).astype(np.uint8)
    image = Image.fromarray(expected, "P")
    image.putpalette(np.random.default_rng(2).integers(0, 256, 3 * colours, np.uint8).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    if "optimize" not in options:  # which may number the colours anew
        assert np.array_equal(read(tmp_path, buffer.getvalue()), expected)
    else:
        assert np.array_equal(read(tmp_path, buffer.getvalue()), np.asarray(Image.open(buffer)))


def test_sixteen_bits_and_equal_channels_up_to_255(tmp_path: Path) -> None:
    expected = labels()
    opaque = np.full((*SHAPE, 1), 255)
    grey = expected[..., None]
    for depth, kind, values in (
        (16, GREY, expected),
        (8, RGB, np.repeat(grey, 3, 2)),
        (8, RGBA, np.concatenate([grey, grey, grey, opaque], 2)),
        (8, GREY_ALPHA, np.concatenate([grey, opaque], 2)),
    ):
        assert np.array_equal(read(tmp_path, png(values, depth, kind)), expected)


def refused() -> dict[str, tuple[bytes, str]]:
    """Files and what is said of them, after their names."""
    grey, photo = labels(5)[..., None], np.random.default_rng(3).integers(0, 4, (*SHAPE, 3))
    alpha = np.full((*SHAPE, 1), 255)
    alpha[3, 4] = 0
    whole = png(labels(), 8, GREY)
    jpeg = io.BytesIO()
    Image.fromarray(labels().astype(np.uint8)).save(jpeg, "JPEG")
    return {
        "instances": (png(labels(26001), 16, GREY), r" holds values up to 26001: these may be instance numbers"),
        "colours": (png(photo, 8, RGB), r" is a picture of 64 colours: give a map of class numbers"),
        "colours, alpha": (png(np.concatenate([photo, alpha | 255], 2), 8, RGBA), r" is a picture of 64 colours"),
        "transparent": (png(np.concatenate([grey, alpha], 2), 8, GREY_ALPHA), r" has transparent pixels"),
        "sixteen bits, colours": (png(np.repeat(grey, 3, 2), 16, RGB), r" is a picture of 16 bits with several"),
        "sixteen bits, alpha": (
            png(np.concatenate([grey, alpha], 2), 16, GREY_ALPHA),
            r" is a picture of 16 bits with",
        ),
        "jpeg": (jpeg.getvalue(), r" is not a PNG file: give label maps as PNG"),
        "text": (b"<html>", r" is not a PNG file"),
        "empty": (b"", r" is not a PNG file"),
        "half": (whole[: len(whole) // 2], r": truncated or damaged image$"),
        "header": (whole[:20], r": truncated or damaged image$"),
        "pixels": (whole[:60] + bytes([whole[60] ^ 255]) + whole[61:], r": truncated or damaged image$"),
    }


@pytest.mark.parametrize("kind", refused())
def test_what_is_no_label_map_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    content, message = refused()[kind]
    (tmp_path / "label.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"label.png{message}"):
        read_label_map(str(tmp_path / "label.png"))


def test_no_damaged_byte_gives_other_labels(tmp_path: Path) -> None:
    expected, file = labels(10), tmp_path / "label.png"
    content = png(expected, 8, GREY)
    for place in range(33, len(content), 3):
        file.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
        with pytest.raises(DataError, match=r"label.png: truncated or damaged image$"):
            read_label_map(str(file))


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    for read_it in (read_label_map, label_map_shape):
        with pytest.raises(DataError, match=r"label.png: no such file or directory$"):
            read_it(str(tmp_path / "label.png"))
