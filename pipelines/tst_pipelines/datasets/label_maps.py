"""Label maps in PNG files: the number of each pixel, however the file encodes it."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tst_pipelines.datasets.files import PIXEL_LIMIT, open_regular, read_bytes, reason
from tst_pipelines.protocol import DataError

IGNORED = 255
"""The label of pixels that are ignored in training and evaluation."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEPTH, _COLOUR_TYPE = 24, 25  # where a PNG holds its bits for each value, and its kind
_HAS_COLOURS, _IS_PALETTE = 2, 1  # bits of the kind


def read_label_map(path: str) -> np.ndarray:
    """The numbers in a label map's file: uint8 [H, W].

    Palettes give the index, not its colour. Grey of 1, 2, 4 and 8 bits gives the number written; of 16 bits and RGB
    with three equal channels, too, up to 255.

    Raises:
        DataError: the file cannot be read, is damaged, is no PNG, holds larger numbers or is a picture in colours.
    """
    try:
        encoded = read_bytes(path).tobytes()
        if not encoded.startswith(_SIGNATURE):
            raise DataError(f"{path} is not a PNG file: give label maps as PNG, of class numbers")
        if not _checksums_hold(encoded):
            raise DataError(f"{path}: truncated or damaged image")
        with Image.open(io.BytesIO(encoded), formats=["PNG"]) as image:
            values = np.asarray(image)
    except OSError as error:
        why = reason(error) if error.strerror else "truncated or damaged image"
        raise DataError(f"{path}: {why}") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path}: more than {PIXEL_LIMIT:,} pixels") from None
    except (SyntaxError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: truncated or damaged image") from None
    return _numbers(path, values, encoded[_DEPTH], encoded[_COLOUR_TYPE])


def label_map_shape(path: str) -> tuple[int, int]:
    """Height and width of a label map, from the first bytes of its file.

    Raises:
        DataError: the file cannot be read, or is no PNG.
    """
    try:
        with open_regular(path) as file:
            header = file.read(24)
    except OSError as error:
        raise DataError(f"{path}: {reason(error)}") from None
    if len(header) < 24 or not header.startswith(_SIGNATURE):
        raise DataError(f"{path} is not a PNG file: give label maps as PNG, of class numbers")
    width, height = struct.unpack(">II", header[16:])
    return height, width


def _checksums_hold(encoded: bytes) -> bool:
    """Whether the checksum of every chunk of a PNG is right, to its end; Pillow does not check those of the pixels."""
    at = len(_SIGNATURE)
    while at < len(encoded):
        (length,) = struct.unpack(">I", encoded[at : at + 4].ljust(4, b"\0"))
        end = at + 8 + length
        if encoded[end : end + 4] != struct.pack(">I", zlib.crc32(encoded[at + 4 : end])):
            return False
        if encoded[at + 4 : at + 8] == b"IEND":
            return True
        at = end + 4
    return False


def _numbers(path: str, values: np.ndarray, depth: int, kind: int) -> np.ndarray:
    """The numbers that were written, from Pillow's values: [H, W] or [H, W, channels]."""
    if depth == 16:
        if values.ndim > 2:
            raise DataError(f"{path} is a picture of 16 bits with several channels: give a map of class numbers")
        if values.max() > 255:
            raise DataError(
                f"{path} holds values up to {values.max()}: these may be instance numbers (Cityscapes' instanceIds); "
                "give a map of class numbers"
            )
        return values.astype(np.uint8)
    if values.ndim > 2:
        return _from_channels(path, values, colours=bool(kind & _HAS_COLOURS))
    if depth in (2, 4) and not kind & _IS_PALETTE:
        return values // (255 // (2**depth - 1))  # Pillow stretches grey to 0..255
    return values.astype(np.uint8)  # of bool, where there is one bit


def _from_channels(path: str, values: np.ndarray, colours: bool) -> np.ndarray:
    """Of grey and alpha, or of colours and perhaps alpha: the grey, if it is one."""
    count = 3 if colours else 1
    if (values[..., count:] != 255).any():
        raise DataError(f"{path} has transparent pixels: give a map of class numbers")
    if (values[..., :count] != values[..., :1]).any():
        different = len(np.unique(values[..., :count].reshape(-1, count), axis=0))
        raise DataError(f"{path} is a picture of {different} colours: give a map of class numbers")
    return np.ascontiguousarray(values[..., 0])
