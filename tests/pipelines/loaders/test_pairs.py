"""Pairs in every loader: images as Pillow resizes them, labels equal to Pillow's nearest to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tests.pipelines.pngs import GREY, png
from tests.pipelines.scenery import make_pairs
from tst_pipelines import (
    Batch,
    CachedLoader,
    DaliLoader,
    DataError,
    Loader,
    PadAndCrop,
    PairDataset,
    RandomResizedCrop,
    ScaleCropFlip,
    Share,
    Whole,
    fits_in_cache,
    image_pairs,
)
from tst_pipelines.loaders import decode
from tst_pipelines.sampling import uniforms
from tst_pipelines.transforms import PlacingTransform

CROP = ScaleCropFlip((60, 90), scale=(0.5, 2.0), flip=0.4, fill=(1, 2, 3))
SIZES = [(120, 80), (61, 37), (200, 199), (90, 60), (33, 150), (128, 64), (60, 90), (45, 45)]  # width, height
BUILD = {"dali": DaliLoader, "cached": CachedLoader}


@pytest.fixture(scope="module")
def pairs(photos: list[Image.Image], tmp_path_factory: pytest.TempPathFactory) -> PairDataset:
    return make_pairs(tmp_path_factory.mktemp("pairs"), photos, SIZES)


def opened(dataset: PairDataset, index: int) -> tuple[Image.Image, Image.Image]:
    """Image and label map as they are in their files: Pillow does not turn them."""
    return Image.open(dataset.path(index)).convert("RGB"), Image.open(dataset.label_path(index))


def expected(dataset: PairDataset, index: int, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `CROP` is documented to make of a pair, by Pillow."""
    image, labels = opened(dataset, index)
    whole, canvas = np.array(image.size[::-1]), np.array(CROP.size)
    factor = CROP.scale[0] + (CROP.scale[1] - CROP.scale[0]) * numbers[0]
    scaled = np.maximum(np.round(whole * factor), 1)
    size = np.minimum(scaled, canvas).astype(int)
    extent = np.round(size * whole / scaled).clip(1, whole).astype(int)
    top, left = (int(u * (room + 1)) for u, room in zip(numbers[1:3], whole - extent, strict=True))
    box = (left, top, left + int(extent[1]), top + int(extent[0]))
    picture = image.crop(box).resize(tuple(size[::-1].tolist()), Image.Resampling.BILINEAR)
    label = labels.resize(tuple(size[::-1].tolist()), Image.Resampling.NEAREST, box=box)
    if numbers[3] < CROP.flip:
        picture, label = ImageOps.mirror(picture), ImageOps.mirror(label)
    image_out, labels_out = np.empty((*CROP.size, 3), np.uint8), np.full(CROP.size, 255, np.uint8)
    image_out[:] = CROP.fill
    image_out[: size[0], : size[1]], labels_out[: size[0], : size[1]] = picture, label
    return image_out, labels_out


@pytest.mark.parametrize("kind", BUILD)
def test_scale_crop_flip_is_pillows(kind: str, pairs: PairDataset) -> None:
    seen = set()
    with BUILD[kind](pairs, CROP, 4, Share(training=True, seed=5)) as loader:
        for epoch in range(9):
            for step, batch in enumerate(loader):
                numbers = uniforms(5, epoch, 4 * step, 4, CROP.random_numbers)
                assert batch.images.shape == (4, 60, 90, 3)
                assert (batch.labels.dtype, batch.labels.shape) == (torch.uint8, (4, 60, 90))
                for row, index in enumerate(batch.indices.tolist()):
                    image, labels = expected(pairs, index, numbers[row])
                    assert np.array_equal(batch.labels[row].numpy(), labels)
                    assert np.abs(batch.images[row].numpy().astype(int) - image).max() <= 5  # of JPEG decoders, too
                    seen.add((index, bool(numbers[row, 3] < 0.4)))
    assert len(seen) == 2 * len(SIZES)  # each as it is and mirrored


def test_a_pixel_is_where_its_label_is(tmp_path: Path) -> None:
    """The label map is the image's red, where neither is resized: crops, flips and padding agree to the bit."""
    values = np.arange(40 * 50, dtype=np.uint32).reshape(40, 50) % 251
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.repeat(values.astype(np.uint8)[..., None], 3, 2)).save(tmp_path / "images/a.png")
    Image.fromarray(values.astype(np.uint8)).save(tmp_path / "labels/a.png")
    dataset = image_pairs(tmp_path / "images", tmp_path / "labels", [str(i) for i in range(251)])
    for transform in (ScaleCropFlip((30, 64), (1, 1), 0.5, fill=(255, 0, 0)), Whole(16, fill=(255, 0, 0))):
        with DaliLoader(dataset, transform, 1, Share(training=True)) as loader:
            for _ in range(6):
                for batch in loader:
                    assert torch.equal(batch.images[..., 0], batch.labels)


@pytest.mark.parametrize("kind", BUILD)
def test_whole_images_are_padded_right_and_below(kind: str, pairs: PairDataset) -> None:
    with BUILD[kind](pairs, Whole(32, fill=(1, 2, 3)), 1, Share(training=False)) as loader:
        batches = list(loader)
    assert [batch.indices.item() for batch in batches] == list(range(len(SIZES)))
    for batch, (width, height) in zip(batches, SIZES, strict=True):
        assert batch.labels.shape[1:] == (-(-height // 32) * 32, -(-width // 32) * 32)
        image, labels = opened(pairs, batch.indices.item())
        assert np.array_equal(batch.labels[0, :height, :width].numpy(), labels)
        assert (batch.labels[0, height:] == 255).all() and (batch.labels[0, :, width:] == 255).all()
        inside = batch.images[0, :height, :width].numpy().astype(int)
        assert np.abs(inside - np.asarray(image)).max() <= 4
        assert (batch.images[0, height:] == torch.tensor([1, 2, 3])).all()
        assert (batch.images[0, :, width:] == torch.tensor([1, 2, 3])).all()


def read(loader: Loader, epochs: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    with loader:
        return [(batch.images, batch.labels) for _ in range(epochs) for batch in loader]


@pytest.mark.parametrize("transform", [CROP, RandomResizedCrop(40)])
def test_loaders_and_threads_give_the_same_bytes(transform: PlacingTransform, pairs: PairDataset) -> None:
    share = Share(training=True, seed=2)
    runs = [
        read(build(pairs, transform, 4, share, threads=threads), 3) for build in BUILD.values() for threads in (1, 4)
    ]
    for run in runs[1:]:
        for (images, labels), (others, other_labels) in zip(run, runs[0], strict=True):
            assert torch.equal(images, others)
            assert torch.equal(labels, other_labels)


@pytest.mark.parametrize("kind", BUILD)
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_resumed_run_gives_the_same_bits(kind: str, stop: int, pairs: PairDataset) -> None:
    """Label maps of the next batch are read ahead: those of another position leave no trace."""
    share = Share(training=True, seed=3)
    with BUILD[kind](pairs, CROP, 3, share) as loader:  # two steps an epoch
        unstopped = list(islice(_endless(loader), 7))
    with BUILD[kind](pairs, CROP, 3, share) as loader:
        list(islice(_endless(loader), stop))
        state = loader.state_dict()
    with BUILD[kind](pairs, CROP, 3, share, threads=3) as loader:
        next(iter(loader))
        loader.load_state_dict(state)
        for batch, expected in zip(islice(_endless(loader), 7 - stop), unstopped[stop:], strict=True):
            assert torch.equal(batch.images, expected.images) and torch.equal(batch.labels, expected.labels)


def _endless(loader: Loader) -> Iterator[Batch]:
    while True:
        yield from loader


@pytest.mark.parametrize("kind", BUILD)
def test_two_processes_take_each_test_image_once(kind: str, pairs: PairDataset) -> None:
    found = {}
    for rank in range(2):
        with BUILD[kind](pairs, Whole(), 1, Share(training=False, rank=rank, world_size=2)) as loader:
            for batch in loader:
                assert found.setdefault(batch.indices.item(), batch.labels) is batch.labels
    assert sorted(found) == list(range(len(pairs)))


def test_what_a_gpu_would_do_gives_the_same_labels(pairs: PairDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    share = Share(training=True, seed=2)
    ours = read(DaliLoader(pairs, CROP, 4, share), 2)
    monkeypatch.setattr("tst_pipelines.loaders.dali_graph.left_to_resize", lambda *_: False)
    theirs = read(DaliLoader(pairs, CROP, 4, share), 2)
    for (images, labels), (others, other_labels) in zip(ours, theirs, strict=True):
        assert torch.equal(labels, other_labels)
        apart = (images.int() - others.int()).abs()
        assert apart.float().mean() < 1.5  # at the borders of regions DALI repeats the edge
        beside = (others == torch.tensor(CROP.fill)).all(3) & (labels == 255)
        assert torch.equal(images[beside], others[beside])


def test_without_dali_the_cached_loader_reads_pairs_too(pairs: PairDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    share = Share(training=True, seed=2)
    theirs = read(CachedLoader(pairs, CROP, 4, share), 1)
    monkeypatch.setattr(decode, "has_dali", lambda: False)
    for (images, labels), (others, other_labels) in zip(
        read(CachedLoader(pairs, CROP, 4, share), 1), theirs, strict=True
    ):
        assert torch.equal(labels, other_labels)
        assert (images.int() - others.int()).abs().max() <= 4


@pytest.mark.parametrize("kind", BUILD)
def test_what_is_wrong_with_a_pair_is_said_by_name(kind: str, photos: list, tmp_path: Path) -> None:
    build: Callable[..., Loader] = BUILD[kind]

    def fails(
        change: Callable[[Path], object], message: str, name: str, transform: ScaleCropFlip | Whole = CROP
    ) -> None:
        dataset = make_pairs(tmp_path / name, photos, [(60, 40)] * 3 + [(50, 40)])
        change(tmp_path / name)
        with pytest.raises(DataError, match=message):
            read(build(dataset, transform, 4, Share(training=False)), 1)

    other, strange = (png(np.full(size, value), 8, GREY) for size, value in (((40, 61), 0), ((40, 60), 11)))
    fails(
        lambda root: (root / "labels/1.png").write_bytes(other),
        r"images/1.jpg has 60 x 40 pixels, but its label map .*labels/1.png has 61 x 40$",
        "sizes",
    )
    fails(
        lambda root: (root / "labels/2.png").write_bytes(strange), r"labels/2.png holds 11 at row 0, column 0", "value"
    )
    fails(lambda root: (root / "labels/2.png").write_bytes(other[:50]), r"labels/2.png: truncated or damaged", "label")
    fails(lambda root: (root / "labels/0.png").unlink(), r"labels/0.png: no such file or directory", "no label")
    fails(lambda root: (root / "images/2.jpg").write_bytes(b"\xff\xd8"), r"\n  .*images/2.jpg: truncated", "image")
    fails(
        lambda _: None,
        r"a batch holds images of several sizes, .*/0.jpg \(60 x 40\) and .*/3.jpg \(50 x 40\): use batches of 1$",
        "batch",
        Whole(),
    )


@pytest.mark.parametrize("kind", BUILD)
def test_a_transform_that_labels_cannot_follow_is_refused(kind: str, pairs: PairDataset) -> None:
    with pytest.raises(DataError, match="label maps and boxes cannot follow PadAndCrop: use ScaleCropFlip"):
        BUILD[kind](pairs, PadAndCrop(32), 4, Share(training=True))


def test_more_pairs_than_fit_are_refused(pairs: PairDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    from tst_pipelines.loaders import cached

    needed = 4 * sum(width * height for width, height in SIZES)
    monkeypatch.setattr(cached, "CACHE_LIMIT", needed)
    CachedLoader(pairs, CROP, 4, Share(training=True))
    monkeypatch.setattr(cached, "CACHE_LIMIT", needed - 1)
    with pytest.raises(DataError, match=r"8 images take more than .* for ScaleCropFlip: use the DALI loader$"):
        CachedLoader(pairs, CROP, 4, Share(training=True))


def test_sizes_are_read_only_until_they_exceed_the_cache(pairs: PairDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The headers of a hundred thousand label maps on a file server take minutes."""
    from tst_pipelines.loaders import cached

    looked = []
    shape = PairDataset.label_shape
    monkeypatch.setattr(PairDataset, "label_shape", lambda self, index: looked.append(index) or shape(self, index))
    monkeypatch.setattr(cached, "CACHE_LIMIT", 4 * SIZES[0][0] * SIZES[0][1])
    assert not fits_in_cache(pairs, CROP)
    assert looked == [0, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 9)}, "ScaleCropFlip: size must be positive"),
        ({"size": (9, 9), "scale": (2.0, 0.5)}, "ScaleCropFlip: scale must be 0 < least <= greatest"),
        ({"size": (9, 9), "scale": (0.0, 0.5)}, "ScaleCropFlip: scale must be 0 < least"),
        ({"size": (9, 9), "flip": 1.5}, "ScaleCropFlip: flip must be in 0..1, got 1.5"),
    ],
)
def test_impossible_transforms_are_refused(options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ScaleCropFlip(**options)
