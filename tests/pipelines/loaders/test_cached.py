"""The cached loader: the DALI loader's bytes, and the same without DALI."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torchvision.transforms import v2

from tst_pipelines import (
    ArrayDataset,
    CachedLoader,
    DaliLoader,
    DataError,
    ImageDataset,
    PadAndCrop,
    RandomResizedCrop,
    ResizeCenterCrop,
    Share,
    Transform,
    fits_in_cache,
)
from tst_pipelines.loaders import cached, decode
from tst_pipelines.loaders.pillow import rgb, stored_size
from tst_pipelines.sampling import uniforms

small = st.integers(1, 7)
TRANSFORMS = [
    PadAndCrop(32),
    PadAndCrop(32, padding=3, flip=0.2),
    PadAndCrop(24, padding=5, flip=1.0),
    PadAndCrop(40, padding=0, flip=0.0),
    ResizeCenterCrop(32),
    ResizeCenterCrop(20, 27),
    ResizeCenterCrop(20, 27, "bicubic"),
]


@pytest.fixture
def without_dali(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "has_dali", lambda: False)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
def test_the_bytes_are_those_of_dali(transform: Transform, training: bool, tiles: ImageDataset) -> None:
    share = Share(training, seed=5, rank=1, world_size=2)
    with DaliLoader(tiles, transform, 5, share) as theirs, CachedLoader(tiles, transform, 5, share) as ours:
        for _ in range(2):
            for a, b in zip(theirs, ours, strict=True):
                assert np.array_equal(a.indices, b.indices)
                assert torch.equal(a.labels, b.labels)
                assert torch.equal(a.images, b.images)


def test_photographs_of_different_sizes_are_those_of_dali(photos: list, dataset_of: Callable) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    dataset = dataset_of(
        ("a.jpg", photos[0], {"exif": turned}), ("b.png", photos[1].crop((0, 0, 99, 301))), ("c.jpg", photos[1])
    )
    for transform in (PadAndCrop(48), ResizeCenterCrop(64, 80)):
        (theirs,) = DaliLoader(dataset, transform, 3, Share(training=True))
        (ours,) = CachedLoader(dataset, transform, 3, Share(training=True))
        assert torch.equal(ours.images, theirs.images)


@pytest.mark.usefixtures("without_dali")
def test_pillow_decodes_what_dali_decodes(tiles: ImageDataset) -> None:
    levels_of = {PadAndCrop(32): 0, PadAndCrop(24): 2, ResizeCenterCrop(20, 27): 2, TRANSFORMS[-1]: 3}
    for transform, levels in levels_of.items():
        theirs = DaliLoader(tiles, transform, 42, Share(training=False))
        ours = CachedLoader(tiles, transform, 42, Share(training=False))
        for a, b in zip(theirs, ours, strict=True):
            apart = (a.images.int() - b.images.int()).abs().float()
            # At the border DALI repeats the edge, where Pillow renormalises the weights.
            assert apart.max() <= 16 * levels
            assert apart.mean() <= 0.3 * levels


@pytest.mark.usefixtures("without_dali")
def test_pillow_decodes_grey_16_bits_cmyk_and_turned_images(photos: list, dataset_of: Callable) -> None:
    turned = Image.Exif()
    turned[0x0112] = 3
    tile = photos[0].crop((100, 200, 164, 264))
    grey = np.asarray(tile.convert("L"))
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    dataset = dataset_of(
        ("a.png", tile.convert("L")),
        ("b.png", wide),
        ("c.jpg", tile.convert("CMYK"), {"quality": 98}),
        ("d.png", tile, {"exif": turned}),
    )
    (batch,) = CachedLoader(dataset, ResizeCenterCrop(64), 4, Share(training=False))
    images = batch.images.numpy()
    assert np.array_equal(images[0], np.repeat(grey[..., None], 3, 2))
    assert np.array_equal(images[1], images[0])
    assert np.abs(images[2].astype(int) - np.asarray(tile)).mean() < 3
    assert np.array_equal(images[3], np.asarray(tile)[::-1, ::-1])


@pytest.mark.parametrize("decoder", ["DALI", "Pillow"])
def test_floating_point_of_0_to_1_is_scaled(
    decoder: str, dataset_of: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "has_dali", lambda: decoder == "DALI")
    grey = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    (batch,) = CachedLoader(dataset_of(("a.tiff", Image.fromarray(grey))), ResizeCenterCrop(64), 1, Share(False))
    assert np.abs(batch.images[0].numpy() - 255 * grey[..., None]).max() <= 0.51


@pytest.mark.usefixtures("without_dali")
def test_pixels_whose_white_is_not_known_are_refused(dataset_of: Callable) -> None:
    grey = np.linspace(0, 255, 64 * 64).reshape(64, 64)
    values = grey.astype(np.int32), grey.astype(np.float32), (grey / 255 - 0.1).astype(np.float32)
    loader = CachedLoader(
        dataset_of(*((f"{i}.tiff", Image.fromarray(value)) for i, value in enumerate(values))),
        ResizeCenterCrop(64),
        3,
        Share(training=False),
    )
    refusal = "{}.tiff: its pixels are {}, of which white is not known: save it with 8 or 16 bits\n"
    floating = "floating point beyond 0..1"
    kinds = ((0, "signed or of 32 bits"), (1, floating), (2, floating))
    with pytest.raises(DataError, match=".*/".join(refusal.format(*kind) for kind in kinds)):
        list(loader)


def _jpeg(photo: Image.Image, **options: object) -> np.ndarray:
    buffer = io.BytesIO()
    photo.resize((48, 32)).save(buffer, "JPEG", **options)
    return np.frombuffer(buffer.getvalue(), np.uint8)


@pytest.mark.parametrize("way", range(10))
def test_pillow_turns_as_exif_says(way: int, photos: list) -> None:
    exif = Image.Exif()
    exif[0x0112] = way
    encoded = _jpeg(photos[0], exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded.tobytes()))))
    assert np.array_equal(np.asarray(rgb(encoded, turned=True)), expected)


@pytest.mark.parametrize("way", range(1, 9))
def test_tiff_is_turned_where_that_is_asked_alone(way: int, photos: list) -> None:
    """Pillow turns TIFF whenever it loads one."""
    photo, buffer = photos[0].resize((48, 32)), io.BytesIO()
    photo.save(buffer, "TIFF", tiffinfo={0x0112: way})
    encoded = np.frombuffer(buffer.getvalue(), np.uint8)
    assert np.array_equal(np.asarray(rgb(encoded, turned=False)), np.asarray(photo))
    assert stored_size(Image.open(io.BytesIO(encoded))) == photo.size
    photo.getexif()[0x0112] = way
    assert np.array_equal(np.asarray(rgb(encoded, turned=True)), np.asarray(ImageOps.exif_transpose(photo)))


def test_the_rest_of_exif_may_be_odd_and_xmp_turns_nothing(photos: list) -> None:
    """As DALI has it: with a resolution that is text, and turned in the words of XMP alone."""
    orientation, resolution = struct.pack("<HHII", 0x0112, 3, 1, 6), struct.pack("<HHI4s", 0x011B, 2, 4, b"two")
    odd = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + orientation + resolution + bytes(4)
    plain = np.asarray(rgb(_jpeg(photos[0]), turned=True))
    assert np.array_equal(np.asarray(rgb(_jpeg(photos[0], exif=odd), turned=True)), np.rot90(plain, -1))
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    assert np.array_equal(np.asarray(rgb(_jpeg(photos[0], xmp=xmp), turned=True)), plain)


@pytest.mark.parametrize("decoder", ["DALI", "Pillow"])
def test_of_a_panorama_only_the_middle_is_resized(
    decoder: str, photos: list, dataset_of: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resized as a whole, it would be 768 million pixels wide."""
    monkeypatch.setattr(decode, "has_dali", lambda: decoder == "DALI")
    strip, panorama = photos[0].crop((0, 200, 640, 201)), Image.new("RGB", (3_000_000, 1))
    panorama.paste(strip, (1_499_680, 0))
    dataset = dataset_of(("a.tiff", panorama), ("b.tiff", panorama.transpose(Image.Transpose.ROTATE_90)))
    (batch,) = CachedLoader(dataset, ResizeCenterCrop(224, 256), 2, Share(training=False))
    theirs = np.asarray(v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(strip), int)
    assert np.ptp(theirs) > 50
    assert np.abs(batch.images[0].numpy() - theirs).max() <= 1
    assert np.abs(batch.images[1].numpy() - np.rot90(theirs)).max() <= 1


def _half(photo: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, kind)
    return buffer.getvalue()[: buffer.tell() // 2]


@pytest.mark.parametrize("decoder", ["DALI", "Pillow"])
def test_bad_files_are_named_with_their_fault(
    decoder: str, photos: list, dataset_of: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "has_dali", lambda: decoder == "DALI")
    dataset = dataset_of(
        ("a.png", photos[0]),
        ("b.jpg", _half(photos[0], "JPEG")),
        ("c.png", _half(photos[0], "PNG")),
        ("d.jpg", b"<html>404</html>\n" * 20),
        ("e.png", b""),
        ("gone.png", photos[1]),
    )
    Path(dataset.path(5)).unlink()
    loader = CachedLoader(dataset, ResizeCenterCrop(32), 2, Share(training=False))
    with pytest.raises(DataError) as raised:
        list(loader)
    lines = [line.strip().removeprefix(str(dataset.root)) for line in str(raised.value).splitlines()]
    assert lines == [
        "images that cannot be read:",
        "/class/b.jpg: truncated or damaged image",
        "/class/c.png: truncated or damaged image",
        f"/class/d.jpg: not an image in a format that {decoder} decodes",
        "/class/e.png: empty file",
        "/class/gone.png: no such file or directory",
        "replace them, or leave them out",
    ]
    assert loader.step == 0


def counted(size: int) -> ArrayDataset:
    """Images that each hold their own number, in red and green, above black."""
    pixels = np.zeros((size, 4, 4, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = (np.arange(size) // 200)[:, None, None], (np.arange(size) % 200)[:, None, None]
    pixels[..., 2] = 255
    return ArrayDataset(pixels, np.arange(size, dtype=np.int64) % 7, tuple("abcdefg"), "counted")


@given(size=st.integers(7, 400), batch=small, world=small, training=st.booleans(), epoch=st.integers(0, 2))
def test_images_labels_and_indices_belong_together(
    size: int, batch: int, world: int, training: bool, epoch: int
) -> None:
    """Over all ranks each image comes once, or in training once at most, with its own label."""
    assume(batch * world <= size)
    dataset, numbers = counted(size), []
    for rank in range(world):
        loader = CachedLoader(dataset, PadAndCrop(4, padding=1), batch, Share(training, 1, rank, world))
        loader.load_state_dict({**loader.state_dict(), "epoch": epoch})
        for given_ in loader:
            centre = given_.images[:, 2, 2].long()  # a shift by one pixel leaves the centre inside
            number = centre[:, 0] * 200 + centre[:, 1]
            assert (centre[:, 2] == 255).all()
            assert number.tolist() == given_.indices.tolist()
            assert given_.labels.tolist() == (number % 7).tolist()
            numbers += number.tolist()
    assert len(numbers) == len(set(numbers))
    assert len(numbers) == (size // (batch * world) * batch * world if training else size)


def test_crops_are_numpys() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (30, 8, 8, 3), np.uint8)
    dataset = ArrayDataset(pixels, np.zeros(30, np.int64), ("a",), "noise")
    (batch,) = CachedLoader(dataset, PadAndCrop(8, padding=3, flip=0.4), 30, Share(training=True, seed=9))
    for index, image, (u, v, w) in zip(batch.indices, batch.images.numpy(), uniforms(9, 0, 0, 30, 3), strict=True):
        padded = np.pad(pixels[index], ((3, 3), (3, 3), (0, 0)))
        expected = padded[int(u * 7) :][:8, int(v * 7) :][:, :8]
        assert np.array_equal(image, expected[:, ::-1] if w < 0.4 else expected)


def test_the_gpus_gather_is_the_cpus() -> None:
    windows = (
        torch.arange(2 * 5 * 6 * 6 * 3).to(torch.uint8).as_strided((2, 5, 3, 3, 4, 4, 3), (540, 108, 18, 3, 18, 3, 1))
    )
    places = np.random.default_rng(0).integers(0, [[2], [5], [3], [3]], (4, 9))
    assert torch.equal(cached.gather(windows, places), windows[tuple(torch.from_numpy(places))])


def test_an_array_of_another_size_is_resized_once(photos: list) -> None:
    pixels = np.stack([np.asarray(photo.crop((0, 0, 90, 60))) for photo in photos])
    dataset = ArrayDataset(pixels, np.arange(2), ("a", "b"), "photos")
    (batch,) = CachedLoader(dataset, ResizeCenterCrop(30, 40), 2, Share(training=False))
    for image, source in zip(batch.images.numpy(), pixels, strict=True):
        resized = Image.fromarray(source).resize((60, 40), Image.Resampling.BILINEAR)
        assert np.array_equal(image, np.asarray(resized.crop((15, 5, 45, 35))))


def test_what_does_not_fit_is_refused(tiles: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached, "CACHE_LIMIT", 42 * 40 * 40 * 3)
    assert fits_in_cache(tiles, PadAndCrop(32, flip=0))
    assert not fits_in_cache(tiles, PadAndCrop(32))  # twice that: also mirrored
    CachedLoader(tiles, PadAndCrop(20, padding=0), 8, Share(training=True))
    with pytest.raises(DataError, match=r"42 images take more than .* for PadAndCrop: use the DALI loader$") as raised:
        CachedLoader(tiles, PadAndCrop(32), 8, Share(training=True))
    assert raised.value.options == ("loader",)
    with pytest.raises(DataError, match=r"random sizes: use PadAndCrop or, for .* the DALI loader$") as raised:
        CachedLoader(tiles, RandomResizedCrop(8), 8, Share(training=True))
    assert raised.value.options == ("crop", "loader")


def test_arrays_that_are_no_images_are_refused() -> None:
    pixels, labels = np.zeros((3, 4, 4, 3), np.uint8), np.arange(3)
    with pytest.raises(DataError, match=r"set: images must be uint8 \[N, H, W, 3\], got float32 \[3, 4, 4, 3\]"):
        ArrayDataset(pixels.astype(np.float32), labels, ("a", "b", "c"), "set")
    with pytest.raises(DataError, match=r"labels must be int64 \[3\], got int64 \[2\]"):
        ArrayDataset(pixels, labels[:2], ("a", "b", "c"), "set")
    with pytest.raises(DataError, match="labels must be 0 to 1, positions in its classes, got 2"):
        ArrayDataset(pixels, labels, ("a", "b"), "set")
    files = ("0.png", "1.png", "2.png")
    with pytest.raises(DataError, match="folder: labels must be 0 to 2, positions in its classes, got 3"):
        ImageDataset(Path("folder"), files, labels + 1, ("a", "b", "c"))
    with pytest.raises(DataError, match=r"folder: labels must be a NumPy array, int64 \[3\], got a list"):
        ImageDataset(Path("folder"), files, [0, 1, 2], ("a", "b", "c"))
    with pytest.raises(DataError, match="the DALI loader needs image files, got ArrayDataset: use CachedLoader"):
        DaliLoader(ArrayDataset(pixels, labels, ("a", "b", "c"), "set"), PadAndCrop(4), 1, Share(training=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_gives_the_bytes_of_the_cpu() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (90, 16, 16, 3), np.uint8)
    dataset = ArrayDataset(pixels, np.arange(90) % 3, tuple("abc"), "noise")
    gpu = Share(training=True, seed=8, device=torch.device("cuda"))
    ours = CachedLoader(dataset, PadAndCrop(16), 20, gpu)
    theirs = CachedLoader(dataset, PadAndCrop(16), 20, Share(training=True, seed=8))
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            assert a.images.is_cuda and a.labels.is_cuda and a.images.is_contiguous()
            assert torch.equal(a.images.cpu(), b.images)
            assert torch.equal(a.labels.cpu(), b.labels)
