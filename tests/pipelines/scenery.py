"""Pairs of photographs and random label maps, on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.pipelines.pngs import GREY, png
from tst_pipelines import PairDataset, image_pairs


def make_pairs(root: Path, photos: list[Image.Image], sizes: list[tuple[int, int]]) -> PairDataset:
    """JPEGs, of which every second wears EXIF's orientation 6, and label maps of eleven classes and 255."""
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for index, (width, height) in enumerate(sizes):
        exif = Image.Exif()
        exif[0x112] = 6 if index % 2 else 1
        left, top = random.integers(0, (640 - width, 427 - height))
        part = photos[index % 2].crop((left, top, left + width, top + height))
        part.save(root / "images" / f"{index}.jpg", exif=exif, quality=95)
        labels = random.integers(0, 12, (height, width))
        labels[labels == 11] = 255
        (root / "labels" / f"{index}.png").write_bytes(png(labels, 8, GREY))
    return image_pairs(root / "images", root / "labels", tuple("abcdefghijk"))
