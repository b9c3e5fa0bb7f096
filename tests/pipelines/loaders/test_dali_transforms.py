"""Decoding and transforms through DALI on the CPU, against PIL, NumPy and torchvision's rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from PIL import Image, ImageOps
from torchvision.transforms import v2

from tst_pipelines import DaliLoader, ImageDataset, PadAndCrop, RandomResizedCrop, ResizeCenterCrop, Share, Transform
from tst_pipelines.sampling import uniforms

BILINEAR = Image.Resampling.BILINEAR


def evaluate(dataset: ImageDataset, transform: Transform) -> list[np.ndarray]:
    with DaliLoader(dataset, transform, 4, Share(training=False)) as loader:
        return [image for batch in loader for image in batch.images.numpy()]


def rgb(dataset: ImageDataset, index: int) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(dataset.path(index))).convert("RGB")


def difference(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Absolute difference of two uint8 images, in levels."""
    return np.abs(np.asarray(actual, np.int32) - np.asarray(expected, np.int32))


def assert_resized(image: np.ndarray, expected: np.ndarray, levels: int = 2) -> None:
    """The same filter with other roundings; beyond the border DALI repeats the edge, where PIL renormalises."""
    apart = difference(image, expected)
    assert apart[1:-1, 1:-1].max() <= levels
    assert apart.mean() < 0.6
    assert apart.max() <= 32


@pytest.mark.parametrize("extension", ["png", "bmp", "ppm", "tiff"])
def test_lossless_formats_decode_exactly(extension: str, photos: list, dataset_of: Callable) -> None:
    tile = photos[0].crop((100, 200, 164, 264))
    (image,) = evaluate(dataset_of((f"tile.{extension}", tile)), ResizeCenterCrop(64))
    assert np.array_equal(image, np.asarray(tile))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_modes_decode_to_rgb(mode: str, photos: list, dataset_of: Callable) -> None:
    dataset = dataset_of(("tile.jpg", photos[1].crop((300, 100, 364, 164)).convert(mode)))
    (image,) = evaluate(dataset, ResizeCenterCrop(64))
    # Decoders may differ in the inverse transform and the upsampling of chroma, by a few levels.
    assert difference(image, rgb(dataset, 0)).max() <= 4


@pytest.mark.parametrize("mode", ["P", "RGBA", "L", "LA", "1"])
def test_png_modes_decode_to_rgb(mode: str, photos: list, dataset_of: Callable) -> None:
    photo = photos[1].crop((300, 100, 364, 164))
    tile = photo.convert(mode)
    if mode.endswith("A"):
        tile.putalpha(photo.convert("L"))  # alpha is left out, not blended
    transparent = {"transparency": 3} if mode == "P" else {}
    dataset = dataset_of(("tile.png", tile, transparent))
    (image,) = evaluate(dataset, ResizeCenterCrop(64))
    assert np.array_equal(image, np.asarray(rgb(dataset, 0)))


@pytest.mark.parametrize("extension", ["png", "tiff"])
def test_sixteen_bits_are_scaled_to_eight(extension: str, dataset_of: Callable) -> None:
    """Where Pillow's convert("RGB") would cut them off at 255."""
    grey = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    (image,) = evaluate(dataset_of((f"deep.{extension}", Image.fromarray(grey))), ResizeCenterCrop(64))
    assert difference(image, np.rint(grey / 257)[..., None]).max() <= 1


def test_images_of_one_pixel_and_of_ten_thousand(photos: list, dataset_of: Callable) -> None:
    dot, wide = photos[0].crop((9, 9, 10, 10)), photos[0].resize((10_000, 60))
    dataset = dataset_of(("a.png", dot), ("b.jpg", dot), ("c.png", wide), ("d.jpg", wide), ("e.png", wide.rotate(90)))
    theirs = v2.Compose([v2.Resize(48), v2.CenterCrop(32)])
    for index, image in enumerate(evaluate(dataset, ResizeCenterCrop(32, 48))):
        assert_resized(image, theirs(rgb(dataset, index)), levels=4)
    with DaliLoader(dataset, RandomResizedCrop(32), 5, Share(training=True, seed=3)) as loader:
        (batch,) = loader
    for index, image, u in zip(batch.indices, batch.images.numpy(), uniforms(3, 0, 0, 5, 23), strict=True):
        source = rgb(dataset, index)
        left, top, w, h = torchvision_region(*source.size, RandomResizedCrop(32), u)
        expected = np.asarray(source.crop((left, top, left + w, top + h)).resize((32, 32), BILINEAR))
        assert_resized(image, expected[:, ::-1] if u[22] < 0.5 else expected, levels=6)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "resize"), [(224, 256), (96, 97), (64, 64), (300, 500), (63, None)])
def test_resize_center_crop_is_torchvisions(
    size: int,
    resize: int | None,
    interpolation: Literal["bilinear", "bicubic"],
    photos: list,
    dataset_of: Callable,
) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: to be turned by 90 degrees
    dataset = dataset_of(
        ("a.png", photos[0]),
        ("b.png", photos[1].crop((0, 0, 201, 402))),
        ("c.jpg", photos[0].crop((0, 0, 333, 111)), {"quality": 95, "exif": turned}),
    )
    how = v2.InterpolationMode(interpolation)
    theirs = v2.Compose([v2.Resize(resize or (size, size), how), v2.CenterCrop(size)])
    for index, image in enumerate(evaluate(dataset, ResizeCenterCrop(size, resize, interpolation))):
        levels = (
            6 if interpolation == "bicubic" else 4 if index == 2 else 2
        )  # Pillow also cuts off between the two sides
        expected = theirs(rgb(dataset, index))
        assert_resized(image, expected, levels)
        if size == 300:  # from within the image on all sides: with all pixels that the filter reaches
            assert difference(image, expected).max() <= levels


def test_pad_and_crop_is_numpys(tiles: ImageDataset) -> None:
    transform = PadAndCrop(32, padding=5, flip=0.3)
    with DaliLoader(tiles, transform, 21, Share(training=True, seed=11)) as loader:
        batches = list(loader)
    flips = 0
    for step, batch in enumerate(batches):
        for index, image, (u, v, w) in zip(
            batch.indices, batch.images.numpy(), uniforms(11, 0, 21 * step, 21, 3), strict=True
        ):
            padded = np.pad(np.asarray(rgb(tiles, index)), ((5, 5), (5, 5), (0, 0)))
            top, left = math.floor(u * 11), math.floor(v * 11)
            expected = padded[top : top + 32, left : left + 32]
            flips += w < 0.3
            assert np.array_equal(image, expected[:, ::-1] if w < 0.3 else expected)
    assert 0 < flips < 42


def test_pad_and_crop_resizes_other_sizes(photos: list, dataset_of: Callable) -> None:
    dataset = dataset_of(("a.png", photos[0]))
    (image,) = evaluate(dataset, PadAndCrop(48, padding=0, flip=1.0))
    expected = np.asarray(photos[0].resize((48, 48), BILINEAR))[:, ::-1]
    assert_resized(image, expected)


def torchvision_region(
    width: int, height: int, transform: RandomResizedCrop, u: np.ndarray
) -> tuple[int, int, int, int]:
    """RandomResizedCrop's rule, one attempt after another, with given numbers: left, top, width, height."""
    low, high = transform.scale
    log_low, log_high = map(math.log, transform.ratio)
    for attempt in range(10):
        area = width * height * (low + (high - low) * u[attempt])
        ratio = math.exp(log_low + (log_high - log_low) * u[10 + attempt])
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return math.floor(u[21] * (width - w + 1)), math.floor(u[20] * (height - h + 1)), w, h
    w, h = width, height
    if width / height < transform.ratio[0]:
        h = round(width / transform.ratio[0])
    elif width / height > transform.ratio[1]:
        w = round(height * transform.ratio[1])
    return (width - w) // 2, (height - h) // 2, w, h


SIZES = [(640, 427), (427, 640), (500, 500), (33, 32), (1, 1), (300, 1), (1, 300), (400, 30), (37, 411), (3, 2)]


def regions(transform: RandomResizedCrop, sizes: list, numbers: np.ndarray) -> np.ndarray:
    """Left, top, width, height of each region."""
    start, extent, _ = transform.regions(np.array(sizes)[:, ::-1], numbers)
    return np.concatenate([start, extent], 1)[:, [1, 0, 3, 2]]


@pytest.mark.parametrize("transform", [RandomResizedCrop(64), RandomResizedCrop(64, scale=(0.6, 1), ratio=(1.5, 2.5))])
def test_regions_are_torchvisions(transform: RandomResizedCrop) -> None:
    sizes = SIZES * 60
    numbers = uniforms(5, 0, 0, len(sizes), 23)
    expected = [torchvision_region(*size, transform, u) for size, u in zip(sizes, numbers, strict=True)]
    assert np.array_equal(regions(transform, sizes, numbers), expected)


def test_regions_have_the_distribution_asked_for() -> None:
    sizes = [(500, 500)] * 4000
    left, top, width, height = regions(RandomResizedCrop(64), sizes, uniforms(6, 0, 0, 4000, 23)).T
    share = width * height / 500**2
    assert 0.078 < share.min() < 0.09
    assert 0.9 < share.max() <= 1
    assert abs(np.log(width / height).mean()) < 0.02  # spread 0.17 / sqrt(4000) = 0.003
    fraction = (left + 0.5) / (500 - width + 1)
    assert abs(fraction.mean() - 0.5) < 0.03
    assert fraction.min() > 0
    assert (top + height).max() <= 500


def test_random_resized_crop_is_pils(photos: list, dataset_of: Callable) -> None:
    turned = Image.Exif()
    turned[0x0112] = 8
    dataset = dataset_of(
        ("a.png", photos[0]),
        ("b.png", photos[1].crop((0, 0, 60, 400))),
        ("c.jpg", photos[1], {"quality": 95}),
        ("d.jpg", photos[0].crop((0, 0, 500, 250)), {"quality": 95, "exif": turned}),
    )
    transform = RandomResizedCrop(64)
    with DaliLoader(dataset, transform, 4, Share(training=True, seed=2)) as loader:
        batches = [batch for _ in range(6) for batch in loader]
    flipped = set()
    for epoch, batch in enumerate(batches):
        for index, image, u in zip(batch.indices, batch.images.numpy(), uniforms(2, epoch, 0, 4, 23), strict=True):
            source = rgb(dataset, index)
            left, top, w, h = torchvision_region(*source.size, transform, u)
            expected = np.asarray(source.crop((left, top, left + w, top + h)).resize((64, 64), BILINEAR))
            flipped.add(u[22] < 0.5)
            expected = expected[:, ::-1] if u[22] < 0.5 else expected
            assert difference(image, expected).max() <= (6 if index > 1 else 1)  # two are JPEG
    assert flipped == {True, False}


def test_what_a_gpu_would_do_gives_the_same_crops(tiles: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """There DALI resizes and mirrors, which it can do on a CPU as well."""

    def crops() -> list[np.ndarray]:
        with DaliLoader(tiles, RandomResizedCrop(40), 21, Share(training=True, seed=4)) as loader:
            return [image for batch in loader for image in batch.images.numpy()]

    ours = crops()
    monkeypatch.setattr("tst_pipelines.loaders.dali_graph.left_to_resize", lambda *_: False)
    for image, resized_by_dali in zip(ours, crops(), strict=True):
        assert_resized(resized_by_dali, image)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PadAndCrop(0), "size must be positive, got 0"),
        (lambda: PadAndCrop(32, padding=-1), "padding must be 0 or more, got -1"),
        (lambda: PadAndCrop(32, flip=2), "flip must be in 0..1, got"),
        (lambda: RandomResizedCrop(32, scale=(0, 1)), "scale must be"),
        (lambda: RandomResizedCrop(32, ratio=(2, 1)), "ratio must be"),
        (lambda: ResizeCenterCrop(256, 224), "resize must be at least size, 256, got 224"),
    ],
)
def test_impossible_transforms_are_refused(build: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
