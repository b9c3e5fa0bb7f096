"""Boxes in every loader follow the pixels that they are around."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from tst_pipelines import (
    CachedLoader,
    DaliLoader,
    DataError,
    DetectionDataset,
    FitAndJitter,
    FitAndPad,
    Loader,
    Share,
    coco_detection,
)
from tst_pipelines.placement import Placement
from tst_pipelines.sampling import uniforms

BUILD = {"dali": DaliLoader, "cached": CachedLoader}
JITTER = FitAndJitter((96, 128), scale=(0.5, 2.0), flip=0.5, fill=(0, 0, 0))
SIZES = [(120, 80), (61, 90), (300, 199), (40, 30)]  # width, height


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    """Grey images, each with a rectangle of pure red, one of green and one of blue, whose boxes are known."""
    root = tmp_path_factory.mktemp("boxes")
    random, images, objects = np.random.default_rng(3), [], []
    for number, (width, height) in enumerate(SIZES):
        pixels = np.full((height, width, 3), 60, np.uint8)
        for colour in range(3):
            left, top = colour * width // 3 + random.integers(0, 4), random.integers(0, height // 3)
            right, bottom = left + width // 4, top + height // 2
            pixels[top:bottom, left:right] = 0
            pixels[top:bottom, left:right, colour] = 255
            box = [int(value) for value in (left, top, right - left, bottom - top)]
            objects.append({"image_id": number, "category_id": colour, "bbox": box})
        exif = Image.Exif()
        exif[0x112] = 6 if number == 1 else 1
        Image.fromarray(pixels).save(root / f"{number}.png", exif=exif)
        images.append({"id": number, "file_name": f"{number}.png", "height": height, "width": width})
    names = [{"id": colour, "name": name} for colour, name in enumerate(("red", "green", "blue"))]
    (root / "boxes.json").write_text(json.dumps({"images": images, "annotations": objects, "categories": names}))
    return coco_detection(root, root / "boxes.json")


def seen(image: torch.Tensor, colour: int) -> list[int]:
    """Left, top, right and bottom of what has a colour, or nothing."""
    rows, columns = np.nonzero(image[..., colour].numpy().astype(int) - image.numpy().min(2) > 127)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else []


@pytest.mark.parametrize("kind", BUILD)
@pytest.mark.parametrize("transform", [JITTER, FitAndPad((96, 128), fill=(0, 0, 0))])
def test_boxes_are_around_what_they_were_around(
    kind: str, transform: FitAndJitter | FitAndPad, dataset: DetectionDataset
) -> None:
    found = 0
    with BUILD[kind](dataset, transform, 2, Share(training=True, seed=1)) as loader:
        for _ in range(8):
            for batch in loader:
                assert batch.images.shape == (2, 96, 128, 3)
                assert (batch.labels.dtype, batch.boxes.dtype, batch.sizes.dtype) == (
                    torch.int64,
                    torch.float32,
                    torch.int32,
                )
                for image, labels, boxes, size in zip(
                    batch.images, batch.labels, batch.boxes, batch.sizes, strict=True
                ):
                    assert not image[size[0] :].any() and not image[:, size[1] :].any()
                    for label, box in zip(labels.tolist(), boxes, strict=True):
                        if label < 0:
                            assert not box.any()
                            continue
                        assert np.abs(np.array(seen(image, label)) - box.numpy()).max() <= 1
                        found += 1
    assert found > 80


def by_torchvision(dataset: DetectionDataset, index: int, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `JITTER` is documented to make of an image's boxes, and which of them are left."""
    height, width = dataset.shapes[index].tolist()
    boxes = dataset.boxes[3 * index : 3 * index + 3]
    fit = min(96 / height, 128 / width) * JITTER.scale[0] * (JITTER.scale[1] / JITTER.scale[0]) ** numbers[0]
    scaled = [max(round(height * fit), 1), max(round(width * fit), 1)]
    size = [min(scaled[0], 96), min(scaled[1], 128)]
    rows, columns = (min(max(round(a / b * c), 1), c) for a, b, c in zip(size, scaled, (height, width), strict=True))
    top, left = int(numbers[1] * (height - rows + 1)), int(numbers[2] * (width - columns + 1))
    moved = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width))
    moved = F.resize(F.crop(moved, top, left, rows, columns), size)
    if numbers[3] < JITTER.flip:
        moved = F.horizontal_flip(moved)
    moved = moved.as_subclass(torch.Tensor).numpy()
    area = ((boxes[:, 2:] - boxes[:, :2]).prod(1)) * (size[0] / rows) * (size[1] / columns)
    sides = moved[:, 2:] - moved[:, :2]
    return moved, (sides.prod(1) >= 0.25 * area) & (sides >= 1).all(1)


def test_boxes_are_torchvisions(dataset: DetectionDataset) -> None:
    left_out = 0
    with DaliLoader(dataset, JITTER, 4, Share(training=True, seed=7)) as loader:
        for epoch in range(30):
            for batch in loader:
                numbers = uniforms(7, epoch, 0, 4, JITTER.random_numbers)
                for row, index in enumerate(batch.indices.tolist()):
                    boxes, kept = by_torchvision(dataset, index, numbers[row])
                    count = int(kept.sum())
                    assert batch.labels[row, :count].tolist() == np.flatnonzero(kept).tolist()
                    assert (batch.labels[row, count:] == -1).all()
                    torch.testing.assert_close(
                        batch.boxes[row, :count], torch.from_numpy(boxes[kept]), atol=1e-3, rtol=0
                    )
                    left_out += 3 - count
    assert left_out > 20


def test_a_quarter_of_a_box_and_a_pixel_of_each_side_must_be_left() -> None:
    pair = (np.array([[side, side]], np.int32) for side in (100, 0, 50, 25))  # the upper left quarter, at half its size
    placement = Placement(*pair, mirrored=np.zeros((1, 1), np.int32), canvas=(25, 25))
    boxes = [[40, 0, 80, 10], [40, 0, 81, 10], [0, 48, 9, 49.9], [0, 48, 9, 55], [60, 0, 70, 9], [0, 0, 1.9, 9]]
    placed, kept = placement.boxes(np.array(boxes, np.float64), np.zeros(6, np.int64))
    assert kept.tolist() == [True, False, False, True, False, False]
    assert placed[[0, 3]].tolist() == [[20, 0, 25, 5], [0, 24, 4.5, 25]]


def test_boxes_come_back_to_their_images(dataset: DetectionDataset) -> None:
    indices = np.arange(len(dataset))
    for transform, numbers in ((FitAndPad((96, 128)), None), (JITTER, np.full((4, 4), 0.2))):
        placement = transform.place(dataset.shapes[indices], numbers)
        positions, rows = dataset.objects(indices)
        whole = dataset.boxes[positions].astype(np.float64)
        placed, kept = placement.boxes(whole, rows)
        for position, row in zip(np.flatnonzero(kept), rows[kept], strict=True):
            height, width = placement.size[row]
            if (placed[position] > 0).all() and (placed[position] < [width, height] * 2).all():  # not clipped
                back = placement.to_image(placed[position][None], row)
                np.testing.assert_allclose(back[0], whole[position], atol=1e-9)


def read(loader: Loader) -> list[tuple[torch.Tensor, ...]]:
    with loader:
        return [(batch.images, batch.labels, batch.boxes, batch.sizes) for _ in range(3) for batch in loader]


def test_loaders_give_the_same_bytes(dataset: DetectionDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    share = Share(training=True, seed=2)
    runs = [read(build(dataset, JITTER, 2, share, threads=threads)) for build in BUILD.values() for threads in (1, 3)]
    for run in runs[1:]:
        assert all(
            torch.equal(a, b) for one, other in zip(run, runs[0], strict=True) for a, b in zip(one, other, strict=True)
        )
    monkeypatch.setattr("tst_pipelines.loaders.dali_graph.left_to_resize", lambda *_: False)
    for one, other in zip(read(DaliLoader(dataset, JITTER, 2, share)), runs[0], strict=True):  # as on a GPU
        assert all(torch.equal(a, b) for a, b in zip(one[1:], other[1:], strict=True))
        assert (one[0].int() - other[0].int()).abs().float().mean() < 1


@pytest.mark.parametrize("kind", BUILD)
def test_an_image_of_another_size_than_annotated_is_named(kind: str, dataset: DetectionDataset, tmp_path: Path) -> None:
    about = json.loads((dataset.root / "boxes.json").read_text())
    about["images"][2]["width"] += 1
    (tmp_path / "boxes.json").write_text(json.dumps(about))
    wrong = coco_detection(dataset.root, tmp_path / "boxes.json")
    with pytest.raises(DataError, match=r"2.png has 300 x 199 pixels, but 301 x 199 in the annotations"):
        read(BUILD[kind](wrong, FitAndPad((64, 64)), 4, Share(training=False)))
