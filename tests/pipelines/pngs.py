"""PNG files of every depth and kind, written bit by bit, as Pillow cannot."""

from __future__ import annotations

import struct
import zlib

import numpy as np

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}


def png(values: np.ndarray, depth: int, kind: int, extra: bytes = b"") -> bytes:
    """A PNG file.

    Args:
        values: unsigned integers [H, W] or [H, W, samples], below 2**depth.
        depth: bits of a sample: 1, 2, 4, 8 or 16.
        kind: the colour type; a palette of random colours is added to PALETTE.
        extra: chunks before the pixels.
    """
    height, width = values.shape[:2]
    rows = values.reshape(height, width * SAMPLES[kind]).astype(">u2")
    bits = np.unpackbits(rows.view(np.uint8).reshape(*rows.shape, 2), axis=2)[..., 16 - depth :].reshape(height, -1)
    packed = np.packbits(bits, axis=1)
    content = b"".join(b"\0" + row.tobytes() for row in packed)  # filter 0: as it is
    palette = b""
    if kind == PALETTE:
        palette = chunk(b"PLTE", np.random.default_rng(0).integers(0, 256, 3 * 2**depth, np.uint8).tobytes())
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(content))
    return b"\x89PNG\r\n\x1a\n" + header + palette + extra + pixels + chunk(b"IEND", b"")


def chunk(name: bytes, content: bytes) -> bytes:
    """A part of the file with its length and checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
