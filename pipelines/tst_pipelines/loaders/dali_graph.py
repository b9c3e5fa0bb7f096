"""The DALI graphs, from file names and uniform numbers to uint8 images. Importing this module imports DALI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.tensors import TensorListCPU, TensorListGPU

from tst_pipelines.loaders.refusals import require_decodable
from tst_pipelines.loaders.resizing import BatchResizer
from tst_pipelines.placement import Placement
from tst_pipelines.transforms import (
    FitAndJitter,
    FitAndPad,
    PadAndCrop,
    PlacingTransform,
    RandomResizedCrop,
    ResizeCenterCrop,
    ScaleCropFlip,
    Transform,
    Whole,
)


@dataclass(frozen=True)
class Sources:
    """What DALI calls for its inputs, with the number of the iteration. They must not hold the loader.

    Attributes:
        numbers: the uniform numbers, float64 [B, transform.random_numbers].
        names: the names of the files that DALI is to read, uint8 [characters] each; or
        encoded: the encoded images, uint8 [bytes] each.
    """

    numbers: Callable[[int], np.ndarray]
    names: Callable[[int], list[np.ndarray]] | None = None
    encoded: Callable[[int], list[np.ndarray]] | None = None


@pipeline_def
def image_pipeline(
    sources: Sources,
    transform: Transform,
    decoder: dict[str, Any],
) -> tuple[DataNode, ...]:
    """Read, decode and transform, with no randomness of DALI's own.

    Args:
        sources: what to read, by iteration.
        transform: what to do.
        decoder: arguments of DALI's decoders: `device` ("cpu", or "mixed" to decode on the GPU) and its options, and
            `adjust_orientation`, whether images are turned as EXIF says.

    Returns:
        uint8 [height, width, 3] for each image; on the CPU, those that are placed are left to be resized
        (`left_to_resize`): their regions, uint8 [h, w, 3]. With a placement, also each image's shape, int64 [3].
    """
    encoded = fn.external_source(source=sources.encoded or sources.names, batch=True, dtype=types.UINT8, ndim=1)
    if sources.encoded is None:
        encoded = fn.io.file.read(encoded, dont_use_mmap=True)  # a disk's error on mapped memory ends the process
    uniforms = None
    if transform.random_numbers:
        uniforms = fn.external_source(source=sources.numbers, batch=True, dtype=types.FLOAT64, ndim=1)
    return _GRAPHS[type(transform)](transform, encoded, uniforms, decoder)


@pipeline_def(batch_size=1, num_threads=1, device_id=None, prefetch_queue_depth=1)
def probe_pipeline() -> DataNode:
    """Decode the one image of the input `encoded`, whole, on the CPU."""
    encoded = fn.external_source(name="encoded", dtype=types.UINT8, ndim=1)
    return _decode(encoded, {"device": "cpu", "adjust_orientation": False})


def left_to_resize(transform: Transform, device: str) -> bool:
    """Whether the pipeline leaves resizing and mirroring to a `BatchResizer`; `device` is the decoder's."""
    return device == "cpu" and isinstance(transform, PlacingTransform)


def hand_over(
    outputs: Sequence[TensorListCPU | TensorListGPU], resizer: BatchResizer | None, placement: Placement | None
) -> torch.Tensor:
    """A batch as a tensor.

    Without a resizer it is on DALI's own memory, which DALI does not use again before the tensor is released. The
    memory goes back in the order of the stream that the batch was run on, like that of torch's own tensors. Work on it
    in another stream must be waited for before it is released (`record_stream` knows only of torch's memory).

    Args:
        outputs: of `image_pipeline`, from `Pipeline.run(stream)` of the dynamic executor.
        resizer: for what is left to resize.
        placement: where that is put.

    Returns:
        uint8 [B, height, width, 3], contiguous, where `outputs` are.
    """
    if resizer is None:
        return torch.from_dlpack(outputs[0].as_tensor())
    return resizer([torch.from_dlpack(region) for region in outputs[0]], placement)


def _pad_and_crop(
    transform: PadAndCrop, encoded: DataNode, numbers: DataNode, decoder: dict[str, Any]
) -> tuple[DataNode, ...]:
    size, padding = transform.size, transform.padding
    start, mirrored = _in_numpy(transform.crops, 2, numbers)
    images = fn.resize(_decode(encoded, decoder), size=[size, size])
    place = {"start": start - np.int32(padding), "shape": [size, size], "axes": [0, 1]}
    images = fn.slice(images, **place, out_of_bounds_policy="pad", fill_values=0)
    return (fn.flip(images, horizontal=mirrored),)


def _place(
    transform: PlacingTransform, encoded: DataNode, numbers: DataNode | None, decoder: dict[str, Any]
) -> tuple[DataNode, ...]:
    def places(*given: np.ndarray) -> tuple[np.ndarray, ...]:
        placement = transform.place(*given)
        canvas = np.tile(np.array(placement.canvas, np.int32), (len(placement.size), 1))
        return placement.start, placement.extent, placement.size.astype(np.float32), canvas, placement.mirrored

    shapes = _shapes(encoded, decoder)
    start, extent, size, canvas, mirrored = _in_numpy(places, 5, shapes, *([] if numbers is None else [numbers]))
    images = _decode_region(encoded, start, extent, decoder)
    if left_to_resize(transform, decoder["device"]):
        return images, shapes
    images = fn.flip(fn.resize(images, size=size), horizontal=mirrored)
    if not isinstance(transform, RandomResizedCrop):
        place = {"start": [0, 0], "shape": canvas, "axes": [0, 1]}
        images = fn.slice(images, **place, out_of_bounds_policy="pad", fill_values=list(transform.fill))
    return images, shapes


def _resize_center_crop(
    transform: ResizeCenterCrop, encoded: DataNode, _: None, decoder: dict[str, Any]
) -> tuple[DataNode, ...]:
    size = [transform.size, transform.size]
    filter_ = {"bilinear": types.INTERP_LINEAR, "bicubic": types.INTERP_CUBIC}[transform.interpolation]
    if transform.resize is None:
        return (fn.resize(_decode(encoded, decoder), size=size, interp_type=filter_),)
    start, shape, begin, end = _in_numpy(transform.regions, 4, _shapes(encoded, decoder))
    images = _decode_region(encoded, start, shape, decoder)
    return (fn.resize(images, size=size, roi_start=begin, roi_end=end, interp_type=filter_),)


def _decode(encoded: DataNode, decoder: dict[str, Any]) -> DataNode:
    """Whole images, as regions: DALI's `decoders.image` ends the process with SIGSEGV for one bad file in 32 or more.

    `peek_image_shape` refuses most bad files before they are decoded, and `image_slice` the others.
    """
    shape = fn.cast(_shapes(encoded, decoder)[:2], dtype=types.INT32)
    return _decode_region(encoded, [0, 0], shape, decoder)


def _decode_region(
    encoded: DataNode, start: DataNode | list[int], shape: DataNode, decoder: dict[str, Any]
) -> DataNode:
    place = {"start": start, "shape": shape, "axes": [0, 1]}
    return fn.decoders.image_slice(encoded, **place, output_type=types.RGB, **decoder)


def _shapes(encoded: DataNode, decoder: dict[str, Any]) -> DataNode:
    """Height, width and channels of each image as it is decoded, int64 [3], from its header; none is too large."""

    def checked(shapes: np.ndarray) -> tuple[np.ndarray]:
        require_decodable(shapes)
        return (shapes,)

    shapes = fn.peek_image_shape(encoded, adjust_orientation=decoder["adjust_orientation"])
    return _in_numpy(checked, 1, shapes)


def _in_numpy(function: Callable[..., tuple[np.ndarray, ...]], outputs: int, *inputs: DataNode) -> tuple[DataNode, ...]:
    """Apply a function of whole batches, arrays [B, ...].

    In DALI's own operators, image by image, a random region took a quarter of a millisecond of CPU time.
    """

    def call(*batches: list[np.ndarray]) -> tuple[list[np.ndarray], ...]:
        return tuple(list(array) for array in function(*map(np.stack, batches)))

    return fn.python_function(*inputs, function=call, num_outputs=outputs, batch_processing=True)


_GRAPHS = {
    PadAndCrop: _pad_and_crop,
    RandomResizedCrop: _place,
    ResizeCenterCrop: _resize_center_crop,
    ScaleCropFlip: _place,
    Whole: _place,
    FitAndJitter: _place,
    FitAndPad: _place,
}
