"""Decoding and resizing by Pillow where DALI is missing, with the same results."""

from __future__ import annotations

import io

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from tst_pipelines.loaders.refusals import TOO_LARGE
from tst_pipelines.protocol import DataError
from tst_pipelines.transforms import ResizeCenterCrop

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that EXIF's Orientation asks for."""
_BACK = {6: 8, 8: 6}
"""The orientation that undoes another; all others are their own inverse."""
PILLOW_ERRORS = (OSError, RuntimeError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow and `rgb` raise for files that are damaged, too large or of no use; RuntimeError for AVIF alone."""


def rgb(encoded: np.ndarray, turned: bool) -> Image.Image:
    """Decode as DALI does: perhaps turned as EXIF says, 16 bits scaled to 8, without alpha."""
    if not len(encoded):
        raise UnidentifiedImageError("empty file")
    image = Image.open(io.BytesIO(encoded))
    own = _turned_on_loading(image)
    pixels = eight_bits(image)  # and TIFF is turned, which Pillow does as it loads one
    way = TURNS.get(_orientation(image)) if turned else TURNS.get(_BACK.get(own, own))
    return (pixels if way is None else pixels.transpose(way)).convert("RGB")


def eight_bits(image: Image.Image) -> Image.Image:
    """The image, loaded; one of more bits scaled as DALI does: from 16 bits, and from floating point in 0..1.

    Raises:
        DataError: other pixels of more than 8 bits, which `convert` would cut off at 255.
    """
    image.load()
    if image.mode == "F":
        white, kind = 1, "floating point beyond 0..1"
    elif image.mode.startswith("I"):
        white, kind = 65535, "signed or of 32 bits"
    else:
        return image
    values = np.asarray(image, np.float64)
    wide = image.mode == "I" and image.format == "TIFF"  # elsewhere Pillow means 16 bits by it
    if wide or not ((values >= 0) & (values <= white)).all():  # written so that NaN is refused too
        raise DataError(f"its pixels are {kind}, of which white is not known: save it with 8 or 16 bits")
    return Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height in the file, of an image just opened."""
    width, height = image.size
    return (height, width) if _turned_on_loading(image) > 4 else (width, height)


def _turned_on_loading(image: Image.Image) -> int:
    """The orientation that Pillow turns an image by as it loads it, which it does to TIFF alone."""
    return image.getexif().get(ExifTags.Base.Orientation, 1) if image.format == "TIFF" else 1


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
    box = (0.0, 0.0, float(image.width), float(image.height))
    if transform.resize is not None:
        start, extent, begin, end = (pair[0].tolist() for pair in transform.regions(np.array([image.size[::-1]])))
        image = image.crop((start[1], start[0], start[1] + extent[1], start[0] + extent[0]))
        box = (begin[1], begin[0], end[1], end[0])
    filter_ = Image.Resampling[transform.interpolation.upper()]
    return np.asarray(image.resize((transform.size, transform.size), filter_, box))


def fault_of(error: Exception) -> str:
    """What is wrong with a file, in short, from an exception of Pillow's."""
    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "empty file" if str(error) == "empty file" else "not an image in a format that Pillow decodes"
    if isinstance(error, Image.DecompressionBombError):
        return TOO_LARGE
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "truncated or damaged image"
