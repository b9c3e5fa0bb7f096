"""What the commands of the pages work on: small stand-ins for the data sets, weights and runs that they name."""

import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 64
RANDOM = np.random.default_rng(0)


def save_image(file: Path, classes: int = 0) -> None:
    """A picture of noise, or with `classes` a label map."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if classes:
        squares = RANDOM.integers(0, classes, (SIDE // 8, SIDE // 8), dtype=np.uint8)
        Image.fromarray(squares.repeat(8, 0).repeat(8, 1)).save(file)
    else:
        Image.fromarray(RANDOM.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(file)


def make_images(folder: Path) -> None:
    """Class folders in train and val, and lists of both."""
    for split in ("train", "val"):
        lines = []
        for label, name in enumerate(("cat", "dog")):
            for number in range(6):
                save_image(folder / split / name / f"{number}.jpg")
                lines.append(f"{split}/{name}/{number}.jpg {label}\n")
        (folder / f"{split}.txt").write_text("".join(lines))


def make_shards(folder: Path) -> None:
    """One tar of six images for each split."""
    folder.mkdir()
    for split in ("train", "val"):
        with tarfile.open(folder / f"{split}-0.tar", "w") as tar:
            for number in range(6):
                save_image(folder / "image.jpg")
                (folder / "label.cls").write_text(str(number % 2))
                tar.add(folder / "image.jpg", f"{number}.jpg")
                tar.add(folder / "label.cls", f"{number}.cls")
    (folder / "image.jpg").unlink()
    (folder / "label.cls").unlink()


def make_pairs(folder: Path, images: tuple[str, str], labels: tuple[str, str], classes: int) -> None:
    """Four images with label maps for each split, in the folders that are named."""
    for place, of_labels in zip(images, labels, strict=True):
        for number in range(4):
            save_image(folder / place / f"{number}.png")
            save_image(folder / of_labels / f"{number}.png", classes)


def make_boxes(folder: Path, images: dict[str, str], prefix: str = "") -> None:
    """Four images with a box for each split, in the folder that `images` names, and annotations in COCO's format."""
    boxes = [
        {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "area": 900, "bbox": [10, 12, 30, 30]}
        for i in range(4)
    ]
    about = [{"id": i, "file_name": f"{i}.jpg", "width": SIDE, "height": SIDE} for i in range(4)]
    content = {"images": about, "annotations": boxes, "categories": [{"id": 1, "name": "thing"}]}
    (folder / "annotations").mkdir(parents=True)
    for split, place in images.items():
        for number in range(4):
            save_image(folder / place / f"{number}.jpg")
        (folder / f"annotations/{prefix}{split}.json").write_text(json.dumps(content))


def make_all(folder: Path) -> None:
    """Everything that the pages name, by its name there."""
    for name in ("IMAGES", "IMAGENET"):
        make_images(folder / name)
    for split in ("train", "val"):
        (folder / f"{split}.txt").write_text((folder / f"IMAGES/{split}.txt").read_text())
    make_shards(folder / "SHARDS")
    make_pairs(folder / "PAIRS", ("train/images", "test/images"), ("train/labels", "test/labels"), 2)
    make_pairs(folder / "CAMVID", ("train", "val"), ("trainannot", "valannot"), 12)
    make_boxes(folder / "ROOT", {"train": "images", "val": "images"})
    make_boxes(folder / "BCCD", {"train": "images/train", "val": "images/val"}, "instances_")
