"""A whole data set decoded once, in order: by DALI where it is installed, by Pillow elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError

from tst_pipelines.datasets.arrays import ArrayDataset
from tst_pipelines.datasets.files import ImageFiles, shown
from tst_pipelines.loaders.bad_files import unreadable
from tst_pipelines.loaders.dali import DaliLoader
from tst_pipelines.loaders.refusals import TOO_LARGE
from tst_pipelines.sampling import Share
from tst_pipelines.transforms import ResizeCenterCrop, Whole

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What an image is turned by, for EXIF's Orientation."""
_CHUNK = 64  # images decoded between two that are given


def decoded(
    dataset: ImageFiles | ArrayDataset, transform: ResizeCenterCrop, device: torch.device, threads: int
) -> Iterator[torch.Tensor]:
    """Every image once, in order.

    Args:
        dataset: image files, or an `ArrayDataset`.
        transform: makes all images one size; images of this size are not changed.
        device: where DALI decodes.
        threads: how many decode.

    Yields:
        uint8 [B, size, size, 3], on `device` or in host memory.

    Raises:
        DataError: files that cannot be read or decoded, by name.
    """
    if isinstance(dataset, ArrayDataset):
        return _from_array(dataset, transform, threads)
    if has_dali():
        return _by_dali(dataset, transform, device, threads)
    return _by_pillow(dataset, transform, threads)


def decoded_whole(dataset: ImageFiles, threads: int) -> Iterator[torch.Tensor]:
    """Every image once, in order, at its own size.

    Yields:
        uint8 [H, W, 3] in host memory.

    Raises:
        DataError: files that cannot be read or decoded, by name.
    """
    if has_dali():
        with DaliLoader(dataset, Whole(multiple=1), 1, Share(training=False), threads=threads) as loader:
            for batch in loader:
                yield batch.images[0]
        return
    for index in range(len(dataset)):
        image = _loaded(dataset, index, np.array)
        if isinstance(image, tuple):
            raise unreadable(["{}: {}".format(*image)])
        yield torch.from_numpy(image)


def has_dali() -> bool:
    """Whether NVIDIA DALI is installed."""
    return find_spec("nvidia") is not None and find_spec("nvidia.dali") is not None


def _by_dali(
    dataset: ImageFiles, transform: ResizeCenterCrop, device: torch.device, threads: int
) -> Iterator[torch.Tensor]:
    with DaliLoader(dataset, transform, _CHUNK, Share(training=False, device=device), threads=threads) as loader:
        for batch in loader:
            yield batch.images


def _by_pillow(dataset: ImageFiles, transform: ResizeCenterCrop, threads: int) -> Iterator[torch.Tensor]:
    def load(index: int) -> np.ndarray | tuple[str, str]:
        return _loaded(dataset, index, partial(fitted, transform=transform))

    for images in _in_chunks(load, len(dataset), threads):
        if bad_files := [f"{path}: {fault}" for path, fault in (image for image in images if isinstance(image, tuple))]:
            raise unreadable(bad_files)
        yield torch.from_numpy(np.stack(images))


def _from_array(dataset: ArrayDataset, transform: ResizeCenterCrop, threads: int) -> Iterator[torch.Tensor]:
    def load(index: int) -> np.ndarray:
        return fitted(Image.fromarray(dataset.images[index]), transform)

    if dataset.images.shape[1:3] == (transform.size, transform.size) and transform.resize in (None, transform.size):
        for first in range(0, len(dataset), _CHUNK):
            yield torch.from_numpy(np.ascontiguousarray(dataset.images[first : first + _CHUNK]))
        return
    for images in _in_chunks(load, len(dataset), threads):
        yield torch.from_numpy(np.stack(images))


def _in_chunks(load, count: int, threads: int):
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, count, _CHUNK):
            yield list(pool.map(load, range(first, min(first + _CHUNK, count))))


def _loaded(
    dataset: ImageFiles, index: int, convert: Callable[[Image.Image], np.ndarray]
) -> np.ndarray | tuple[str, str]:
    """An image by Pillow, or its name and what is wrong with it."""
    try:
        return convert(rgb(dataset.read(index), turned=not dataset.targets_in_pixels))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # of damaged files, and huge ones
        return shown(dataset.path(index)), fault_of(error)


def rgb(encoded: np.ndarray, turned: bool) -> Image.Image:
    """Decode as DALI does: perhaps turned as EXIF says, 16 bits scaled to 8, without alpha."""
    if not len(encoded):
        raise UnidentifiedImageError("empty file")
    image = Image.open(io.BytesIO(encoded))
    image.load()
    if turned and (way := TURNS.get(_orientation(image))) is not None:
        image = image.transpose(way)
    if image.mode.startswith("I"):  # 16-bit grey, which convert would cut off at 255
        image = Image.fromarray(np.rint(np.asarray(image, np.float64) / 257).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """As the image's EXIF block says; of XMP, which Pillow's `getexif` reads too, DALI knows nothing."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # of whatever a damaged block holds: the pixels are whole
        return 1


def fitted(image: Image.Image, transform: ResizeCenterCrop) -> np.ndarray:
    """`ResizeCenterCrop` by Pillow: uint8 [size, size, 3]."""
    box = (0.0, 0.0, *map(float, image.size))
    if transform.resize is not None:
        start, extent, begin, end = (pair[0].tolist() for pair in transform.regions(np.array([image.size[::-1]])))
        image = image.crop((start[1], start[0], start[1] + extent[1], start[0] + extent[0]))
        box = (begin[1], begin[0], end[1], end[0])
    filter_ = Image.Resampling[transform.interpolation.upper()]
    return np.asarray(image.resize((transform.size, transform.size), filter_, box))


def fault_of(error: Exception) -> str:
    """What an exception of Pillow's says of a file, in short."""
    if isinstance(error, UnidentifiedImageError):
        return "empty file" if str(error) == "empty file" else "not an image in a format that Pillow decodes"
    if isinstance(error, Image.DecompressionBombError):
        return TOO_LARGE
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "truncated or damaged image"
