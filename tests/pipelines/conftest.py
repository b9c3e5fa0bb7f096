"""Real photographs, and folders of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from tst_pipelines import ImageDataset, image_folder


@pytest.fixture(scope="session")
def photos() -> list[Image.Image]:
    """China and a flower, 640 x 427, RGB."""
    return [Image.fromarray(image) for image in load_sample_images().images]


@pytest.fixture(scope="session")
def tiles(photos: list[Image.Image], tmp_path_factory: pytest.TempPathFactory) -> ImageDataset:
    """42 real pieces of photographs, 32 x 32, as PNG in two classes."""
    root = tmp_path_factory.mktemp("tiles")
    for name, photo in zip(("china", "flower"), photos, strict=True):
        (root / name).mkdir()
        for index in range(21):
            left, top = 80 * (index % 7), 100 * (index // 7)
            photo.crop((left, top, left + 32, top + 32)).save(root / name / f"{index:02d}.png")
    return image_folder(root)


@pytest.fixture
def dataset_of(tmp_path: Path) -> Callable[..., ImageDataset]:
    """A data set of one class from (file name, image or bytes, options of PIL's save)."""

    def build(*files: tuple) -> ImageDataset:
        folder = tmp_path / "data" / "class"
        folder.mkdir(parents=True)
        for name, content, *options in files:
            if isinstance(content, bytes):
                (folder / name).write_bytes(content)
            else:
                content.save(folder / name, **(options[0] if options else {}))
        return image_folder(tmp_path / "data")

    return build
