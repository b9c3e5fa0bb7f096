"""Bad images are found before a run, also those that decode without an error."""

from __future__ import annotations

import io
import tarfile
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from tst_pipelines import DaliLoader, DataError, ImageDataset, ResizeCenterCrop, Share
from tst_pipelines.loaders.pillow import PILLOW_ERRORS, rgb
from tst_pipelines.loaders.probe import Probe, damage, images_below


def encoded(photo: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, kind, **options)
    return buffer.getvalue()


def blanked(content: bytes, length: int = 400) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(length) + content[middle + length :]


def test_a_jpeg_damaged_in_the_middle_loads_but_is_found(photos: list, dataset_of: Callable) -> None:
    dataset = dataset_of(("a.jpg", encoded(photos[0], "JPEG")), ("b.jpg", blanked(encoded(photos[0], "JPEG"))))
    with DaliLoader(dataset, ResizeCenterCrop(32), 2, Share(training=False)) as loader:
        (batch,) = loader
    assert (batch.images[0] != batch.images[1]).any()
    probe = Probe()
    assert probe.fault(dataset, 0, strict=True) is None
    assert probe.fault(dataset, 1, strict=True).startswith("damaged: corrupt jpeg data")


def test_most_damage_in_a_jpeg_is_found(photos: list) -> None:
    """A hundred bytes missing, in forty places; where the code happens to fall in step again, nothing shows."""
    whole = encoded(photos[1], "JPEG")
    places = range(2000, len(whole) - 2000, (len(whole) - 4000) // 40)
    assert sum(damage(whole[:place] + whole[place + 100 :]) is not None for place in places) >= 0.75 * len(places)


def test_what_pillow_does_not_know_is_not_called_damaged() -> None:
    assert damage(b"text") == "not an image in a format that Pillow decodes"


@pytest.mark.skipif(not features.check("avif"), reason="Pillow was built without AVIF")
def test_an_avif_without_its_pixels_is_damaged(photos: list) -> None:
    """Pillow raises a RuntimeError of it, and of no other format."""
    content = encoded(photos[0].resize((90, 60)), "AVIF").replace(b"iloc", b"iIoc")
    assert damage(content).startswith("damaged")
    with pytest.raises(PILLOW_ERRORS):
        rgb(np.frombuffer(content, np.uint8), turned=True)


def test_threads_that_look_leave_warnings_as_they_were(photos: list) -> None:
    png, before = encoded(photos[0].resize((64, 64)), "PNG"), list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(damage, [png] * 2000)) == {None}
    assert warnings.filters == before


def netpbm(photo: Image.Image, white: int, kind: str) -> bytes:
    pixels = np.asarray(photo) * (white / 255)
    return b"P6 %d %d %d\n" % (*photo.size, white) + pixels.astype(kind).tobytes()


SOUND = {
    "grey": lambda photo: encoded(photo.convert("L"), "JPEG"),
    "cmyk": lambda photo: encoded(photo.convert("CMYK"), "JPEG"),
    "progressive": lambda photo: encoded(photo, "JPEG", progressive=True),
    "one pixel": lambda photo: encoded(photo.resize((1, 1)), "JPEG"),
    "png": lambda photo: encoded(photo, "PNG"),
    "png with alpha": lambda photo: encoded(photo.convert("RGBA"), "PNG"),
    "webp": lambda photo: encoded(photo, "WEBP"),
    "tiff": lambda photo: encoded(photo, "TIFF"),
    "bmp": lambda photo: encoded(photo, "BMP"),
    "ppm": lambda photo: encoded(photo, "PPM"),
    "ppm of 16 bits": lambda photo: netpbm(photo, 65535, ">u2"),
}


@pytest.mark.parametrize("kind", SOUND)
def test_sound_images_are_sound(kind: str, photos: list, dataset_of: Callable) -> None:
    assert Probe().fault(dataset_of(("a.jpg", SOUND[kind](photos[0].resize((90, 60))))), 0, strict=True) is None


def turned_webp(photo: Image.Image) -> bytes:
    """Lossless, with EXIF behind pixels of an odd number of bytes, after which comes one of padding."""
    exif = Image.Exif()
    exif[0x0112] = 6
    tries = (encoded(photo.resize((side, side)), "WEBP", lossless=True, exif=exif) for side in range(8, 40))
    return next(content for content in tries if content[30:34] == b"VP8L" and content[34] % 2)


def scaled(photo: Image.Image, white: float, kind: type) -> Image.Image:
    return Image.fromarray((np.asarray(photo.convert("L"), float) / 255 * white).astype(kind))


BY_PILLOW_ALONE = "DALI cannot decode it, though Pillow can: save it as a plain PNG or JPEG"
UNUSABLE = {
    "turned webp": (turned_webp, BY_PILLOW_ALONE),
    "bilevel tiff": (lambda photo: encoded(photo.convert("1"), "TIFF"), BY_PILLOW_ALONE),
    "32 bits": (lambda photo: encoded(scaled(photo, 65535, np.int32), "TIFF"), "its pixels are signed or of 32 bits"),
    "float": (lambda photo: encoded(scaled(photo, 255, np.float32), "TIFF"), "its pixels are floating point beyond"),
    "alpha tiff": (lambda photo: encoded(photo.convert("LA"), "TIFF"), "grey with alpha, which DALI reads wrongly"),
    "dark ppm": (lambda photo: netpbm(photo, 100, "u1"), "its white is 100, where DALI takes 255 for white"),
    "ppm of 10 bits": (lambda photo: netpbm(photo, 1023, ">u2"), "its white is 1023, where DALI takes 255"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_cannot_be_used_is_not_called_damaged(kind: str, photos: list, dataset_of: Callable) -> None:
    make, reason = UNUSABLE[kind]
    dataset = dataset_of(("a.png", make(photos[0].resize((90, 60)))))
    assert Probe().fault(dataset, 0, strict=True).startswith(reason)


def test_what_dali_alone_cannot_decode_is_named_by_its_loader(photos: list, dataset_of: Callable) -> None:
    dataset = dataset_of(("a.webp", photos[0], {"lossless": True}), ("b.webp", turned_webp(photos[0])))
    with (
        pytest.raises(DataError, match=rf"read:\n  .*b.webp: {BY_PILLOW_ALONE}\nreplace"),
        DaliLoader(dataset, ResizeCenterCrop(32), 2, Share(training=False)) as loader,
    ):
        list(loader)


def test_damage_in_a_png_is_found(photos: list, dataset_of: Callable) -> None:
    assert "damaged" in Probe().fault(dataset_of(("a.png", blanked(encoded(photos[0], "PNG")))), 0, strict=True)


def test_a_probe_goes_on_after_a_fault(photos: list, dataset_of: Callable) -> None:
    dataset = dataset_of(("a.jpg", b""), ("b.jpg", b"text"), ("c.jpg", photos[0]), ("d.jpg", photos[0]))
    Path(dataset.path(3)).unlink()
    probe = Probe()
    faults = [probe.fault(dataset, index) for index in range(4)]
    assert faults == [
        "empty file",
        "not an image in a format that DALI decodes",
        None,
        "no such file or directory",
    ]


def test_everything_below_a_folder_is_looked_at(tiles: ImageDataset, tmp_path: Path) -> None:
    for name in ("stray.png", "deep/er/1.jpg", "notes.txt", ".hidden.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(tiles.read(0))
    with tarfile.open(tmp_path / "deep" / "1.tar", "w") as archive:
        for extension in ("png", "cls"):
            member = tarfile.TarInfo(f"0.{extension}")
            member.size = len(tiles.read(0)) if extension == "png" else 1
            archive.addfile(member, io.BytesIO(tiles.read(0) if extension == "png" else b"1"))
    (tmp_path / "bad.tar").write_text("text")
    found, faults = images_below(tmp_path)
    assert [name for dataset in found for name in dataset.files] == ["stray.png", "deep/er/1.jpg", "deep/1.tar/0.png"]
    assert [dataset.read(0).tobytes() for dataset in found] == [tiles.read(0).tobytes()] * 2
    assert list(faults) == ["bad.tar"] and faults["bad.tar"].startswith("is not a whole, uncompressed tar file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds neither images nor shards"):
        images_below(tmp_path / "empty")
