"""What is wrong with an image: whether it can be read and decoded, and whether its pixels are right."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from tst_pipelines.datasets.files import ImageDataset, ImageFiles, reason
from tst_pipelines.datasets.folders import is_image, names_below
from tst_pipelines.datasets.names import Names
from tst_pipelines.datasets.shards import ShardDataset, shard_index
from tst_pipelines.loaders.pillow import PILLOW_ERRORS, eight_bits, fault_of
from tst_pipelines.loaders.refusals import TOO_LARGE
from tst_pipelines.protocol import DataError

_JPEG = b"\xff\xd8"
_STRICT = Lock()
"""Held while warnings are errors, which they then are in the whole process."""
_STRICT_ERRORS = (*PILLOW_ERRORS, Warning)


class Probe:
    """Decodes images one by one, whole, on the CPU, as the DALI loader does. One thread at a time may use it."""

    def __init__(self) -> None:
        self._pipeline = None

    def fault(self, dataset: ImageFiles, index: int, strict: bool = False) -> str | None:
        """What is wrong with an image, in short; None if it decodes.

        Args:
            dataset: whose image.
            index: its position.
            strict: also report what gives wrong pixels, not only what stops the loader; see `damage`.
        """
        try:
            encoded = dataset.read(index)
        except OSError as error:
            return reason(error)
        return self._decoding_fault(encoded) or (damage(encoded.tobytes()) if strict else None)

    def _decoding_fault(self, encoded: np.ndarray) -> str | None:
        if not len(encoded):
            return "empty file"
        if self._pipeline is None:
            from tst_pipelines.loaders.dali_graph import probe_pipeline  # imports DALI

            self._pipeline = probe_pipeline()
            self._pipeline.build()
        try:
            self._pipeline.run(encoded=[encoded])
        except RuntimeError as error:
            self._pipeline = None  # an error leaves it unusable
            if TOO_LARGE in str(error):
                return TOO_LARGE
            unknown = "nvImageCodec failure: '#4'" in str(error)  # no parser knows the first bytes
            return "not an image in a format that DALI decodes" if unknown else _undecoded(encoded.tobytes())
        return None


def damage(encoded: bytes) -> str | None:
    """What a strict decoder rejects in an image that decodes, or why its pixels come out wrong; None if nothing.

    A JPEG that was damaged in the middle decodes without an error, to wrong pixels from there on. libjpeg only warns,
    which `simplejpeg` takes for an error. PNG has checksums, which DALI and Pillow check; of other formats little more
    than the length can be checked. Damage after which a JPEG's code happens to fall in step again is not found: only a
    checksum kept beside the file could.
    """
    try:
        _decode_strictly(encoded)
    except (DataError, UnidentifiedImageError) as error:
        return fault_of(error)
    except _STRICT_ERRORS as error:
        return f"damaged: {str(error).lower()}"
    return None


def _undecoded(encoded: bytes) -> str:
    """Why DALI does not decode an image whose first bytes it knows."""
    try:
        _decode_strictly(encoded)
    except DataError as error:
        return str(error)
    except _STRICT_ERRORS:
        return "truncated or damaged image"
    return "DALI cannot decode it, though Pillow can: save it as a plain PNG or JPEG"


def _decode_strictly(encoded: bytes) -> None:
    import simplejpeg

    if encoded.startswith(_JPEG):
        _, _, colours, _ = simplejpeg.decode_jpeg_header(encoded, strict=True)
        simplejpeg.decode_jpeg(encoded, "CMYK" if colours in ("CMYK", "YCCK") else "RGB", strict=True)
        return
    with _STRICT, warnings.catch_warnings(), Image.open(io.BytesIO(encoded)) as image:
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        white = _white_of_netpbm(image)
        eight_bits(image)
        if (image.format, image.mode) == ("TIFF", "LA"):
            raise DataError("grey with alpha, which DALI reads wrongly from a TIFF: save it as a PNG")
        if white not in (255, 65535):
            raise DataError(f"its white is {white}, where DALI takes 255 for white: save it as a PNG")


def _white_of_netpbm(image: ImageFile) -> int:
    """The greatest value that a PGM or PPM may hold, of an image not yet loaded; 255 of other formats."""
    match image.tile:
        case [("ppm", _, _, (_, int(white)))]:
            return white
    return 255


def images_below(root: str | Path) -> tuple[list[ImageDataset], dict[str, str]]:
    """Every image file and every member of a WebDataset shard in a folder, whatever its layout; all have the label 0.

    Returns:
        The images, named relative to `root`, and the shards that cannot be indexed, with what is wrong.

    Raises:
        DataError: a folder cannot be read, or there are no images.
    """
    root = Path(root)
    files = names_below(root)
    images = Names.of(filter(is_image, files))
    found = [ImageDataset(root, images, np.zeros(len(images), np.int64), ("",))] if len(images) else []
    faults: dict[str, str] = {}
    for name in (name for name in files if name.endswith(".tar")):
        shard = str(root / name)
        try:
            index = shard_index(shard)
        except DataError as error:
            faults[name] = str(error).removeprefix(shard).lstrip(": ")
            continue
        members = Names.of(os.path.join(name, member) for member in index.names)
        places = np.column_stack([np.zeros(len(members), np.int64), index.places])
        found.append(ShardDataset(root, members, np.zeros(len(members), np.int64), ("",), (shard,), places))
    if not found and not faults:
        raise DataError(f"{root} holds neither images nor shards (*.tar)")
    return found, faults
