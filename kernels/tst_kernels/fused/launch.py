"""The functions on the host that launch the kernels: they look at shapes, strides and dtypes, never at device data."""

from collections.abc import Hashable, Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from tst_kernels.fused import backward, families, forward, image_gradient, launcher, pairs, parameters, statistics, warp
from tst_kernels.fused.launcher import INTERPRETED, launch, specialisation_key
from tst_kernels.fused.parameters import Slots
from tst_kernels.fused.pixels import Constants, Images, Layout

PIXELS = 2
"""Pixels a thread: 4 would save a tenth of the instructions and double the registers."""
PIXELS_COLLECTED = 1
"""The same in the images' gradients, where each pixel collects from many, and two spill."""
THREADS = 128
"""A program."""
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers by their size in bytes."""
_STATISTICS_BLOCK = 1024
_PROGRAMS = 4096
"""How many programs of partial sums keep a large GPU busy."""
_MOST_STRIPES = 64
_FEW_REGISTERS = 80
_REGISTERS = 96
_FLOAT_REGISTERS = 104
_PREPARE_REGISTERS = 128
"""The fewest without spills (`make compile-matrix`): the mix does with few from sm_90 on. A multiprocessor then holds
six programs of the mix and five of its gradients; four of those of floating-point images, which spill six registers on
sm_100 otherwise. What prepares them runs once an image. Left alone, Triton 3.8 takes up to 126 registers."""
_MOST_SPECIALISED = 16
"""Layouts of images that kernels are compiled for, each by itself, in one process: a fifth of the forward pass's
instructions are saved, and sizes that change all the time compile no more."""
_specialised: dict[Layout, Layout] = {}
_MOST_PIXELS = 2**31 - 2**14
"""Of a plane: the indices of its last tile fit 32 bits, too."""


def mix_forward(
    images: Tensor,
    draw: Sequence[Tensor | None],
    constants: Sequence[float] | Tensor,
    dtype: torch.dtype,
    channels_last: bool,
    geometry: bool = True,
    sizes: Tensor | None = None,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The mix of [B, C, H, W] images, and what its backward pass needs.

    Args:
        images: any strides; uint8, or floating point in 0..1.
        draw: operations, levels, gates [B, K] and centres [B, 2] or None.
        constants: nine numbers, each channel's scale, shift and fill; or float32 [9] on the device.
        dtype: floating dtype of the result.
        channels_last: the result's memory format.
        geometry: False leaves out the slots of warps.
        sizes: [B, 2], height and width of each picture; None is the whole canvas.
        out: of any strides, in place of a new result.

    Returns:
        The result, parameters [B, K, 8], families [B, K], mean grey [B] and tables [B, 2, 3, 256].
    """
    batch, slots = draw[0].shape
    height, width = images.shape[2:]
    source, nine, sizes = _image(images), _constants(constants), _as_int32(sizes)
    result = empty_result(images, dtype, channels_last) if out is None else out
    target = _image(result)
    if target.pointer is not result:
        raise ValueError("out must have offsets below 2^31 within an image: give a contiguous one")
    key = specialisation_key(source.pointer, result, *draw, sizes, nine.pointer)
    # What is not aligned cannot be written two at a time: two would go through shared memory.
    are_apart = target.layout.pair_words is None and height * width % 16 != 0
    pixels = 1 if are_apart else _pixels(images.device)
    threads, tiles = _tiles(height * width, pixels)
    with launcher.device_guard(images.device):
        rows, family_codes, mean_grey, tables = prepare(source, draw, images.device, key, geometry, sizes)
        arguments = specialised(source), specialised(target), rows, family_codes, tables, nine
        shape = slots, geometry, threads, pixels
        launch(forward.mix, batch * tiles, arguments, shape, key, threads, _FEW_REGISTERS)
    return result, rows, family_codes, mean_grey, tables


def mix_backward(
    gradient: Tensor,
    images: Tensor,
    draw: Sequence[Tensor],
    saved: Sequence[Tensor],
    constants: Sequence[float] | Tensor,
    needs_images: bool,
    geometry: bool = True,
    sizes: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the mix to levels and gates, float32 [B, K], and to the images (empty unless they need it).

    `gradient`, of the result, may have any strides; `draw` is operations and levels; `saved` are parameters, families,
    mean grey and tables of the forward pass, and the rest is as there.
    """
    rows, family_codes, mean_grey, tables = saved
    batch, slots = family_codes.shape
    height, width = images.shape[2:]
    source, upstream, nine, sizes = _image(images), _image(gradient), _constants(constants), _as_int32(sizes)
    pixels = _pixels(images.device)
    threads, tiles = _tiles(height * width, pixels)
    stripes = _stripes(batch * slots, tiles)
    partials = rows.new_empty((batch, slots, stripes, int(families.COLUMNS)))
    image_gradients = torch.empty_like(source.pointer) if needs_images else rows.new_empty(0)
    key = specialisation_key(upstream.pointer, source.pointer, *draw, *saved, sizes, nine.pointer)
    with launcher.device_guard(images.device):
        if upstream.layout.pair_words is None:  # pairs of the images alone would spill
            source = source._replace(layout=source.layout._replace(pair_words=None))
        known = specialised(source), specialised(upstream)
        arguments = *known, rows, family_codes, tables, nine, partials
        shape = slots, geometry, stripes, threads, pixels
        registers = _REGISTERS if images.dtype == torch.uint8 else _FLOAT_REGISTERS
        launch(backward.sum_gradients, batch * slots * stripes, arguments, shape, key, threads, registers)
        of_levels, of_gates, of_grey = slot_gradients(draw, mean_grey, partials, source, sizes, key)
        if needs_images:
            threads, tiles = _tiles(height * width, PIXELS_COLLECTED)
            arguments = *known, specialised(_image(image_gradients)), rows, family_codes, nine, of_grey, sizes
            shape = slots, geometry, threads, PIXELS_COLLECTED
            launch(image_gradient.gather_gradients, batch * tiles, arguments, shape, key, threads, _REGISTERS)
    return of_levels, of_gates, image_gradients


def prepare(
    source: Images,
    draw: Sequence[Tensor | None],
    device: torch.device,
    key: Hashable,
    geometry: bool = True,
    sizes: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the mix needs to know of each image and slot.

    Returns:
        Every slot's row of parameters, float32 [B, K, 8], and its family, int32 [B, K]; mean grey [B] and tables
        [B, 2, 3, 256], zero for images whose operations need none.
    """
    operations, levels, gates, centres = draw
    batch, slots = operations.shape
    pixel_count = source.layout.height * source.layout.width
    block = min(16384, max(256, triton.next_power_of_2(pixel_count))) if INTERPRETED else _STATISTICS_BLOCK
    stripes = _stripes(batch, triton.cdiv(pixel_count, block))
    rows = torch.empty((batch, slots, int(families.COLUMNS)), dtype=torch.float32, device=device)
    family_codes = torch.empty((batch, slots), dtype=torch.int32, device=device)
    mean_grey = rows.new_empty(batch)
    tables = torch.empty((batch, 2, 3, 256), dtype=torch.uint8, device=device)
    codes, padded, counts = _slots(operations), triton.next_power_of_2(slots), (None, None)
    if stripes > 1:
        counts = family_codes.new_empty((batch, stripes, 3, 256)), rows.new_empty((batch, stripes))
        launch(statistics.count, batch * stripes, (source, codes, sizes, *counts), (stripes, padded, block), key)
    fields = codes, _slots(levels), _slots(gates), None if centres is None else _slots(centres)
    arguments = source, *fields, sizes, *counts, tables, mean_grey, rows, family_codes
    launch(parameters.prepare, batch, arguments, (geometry, padded, stripes, block), key, THREADS, _PREPARE_REGISTERS)
    return rows, family_codes, mean_grey, tables


def slot_gradients(
    draw: Sequence[Tensor],
    mean_grey: Tensor,
    partials: Tensor,
    source: Images,
    sizes: Tensor | None,
    key: Hashable,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of levels and gates [B, K] and of each pixel's grey [B], from partial sums [B, K, stripes, 8]."""
    codes, levels = (_slots(field) for field in draw)
    batch, slots, stripes, _ = partials.shape
    of_levels, of_gates = partials.new_empty((batch, slots)), partials.new_empty((batch, slots))
    of_grey = partials.new_empty(batch)
    arguments = codes, levels, mean_grey, partials, source, sizes, of_levels, of_gates, of_grey
    launch(parameters.compute_gradients, batch, arguments, (triton.next_power_of_2(slots), stripes), key)
    return of_levels, of_gates, of_grey


def warp_forward(images: Tensor, theta: Tensor, bilinear: bool, fill: float) -> Tensor:
    """[B, C, H, W] of any dtype (bilinear: floating point) under float32 theta [B, 2, 3]."""
    result = torch.empty_like(images)
    channels = images.shape[1]
    if bilinear:
        source, target, fill = _planes(images), _planes(result), float(fill)
    else:  # which only copies: integers of the same bits, in which every fill is exact
        bits = _BITS[images.itemsize]
        source, target = _planes(images.view(bits)), _planes(result.view(bits))
        fill = torch.full((), fill, dtype=images.dtype, device="cpu").view(bits).item()
    pixels = _pixels(images.device)
    threads, tiles = _tiles(images.shape[2] * images.shape[3], pixels)
    mode = warp.BILINEAR if bilinear else warp.NEAREST
    with launcher.device_guard(images.device):
        arguments = source, target, theta.contiguous()
        shape = channels, fill, mode.value, threads, pixels
        key = specialisation_key(source.pointer, theta)
        launch(warp.warp, images.shape[0] * channels * tiles, arguments, shape, key, threads)
    return result


def warp_backward(
    gradient: Tensor, images: Tensor, theta: Tensor, bilinear: bool, fill: float, needs: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Gradients of the warp to images and theta, each empty unless `needs` asks for it."""
    batch, channels, height, width = images.shape
    pixels = _pixels(images.device)
    threads, tiles = _tiles(height * width, pixels)
    theta, fill = theta.contiguous(), float(fill)  # a whole number would be of another type to Triton
    upstream = _planes(gradient)
    key = specialisation_key(gradient, images, theta)
    image_gradients, theta_gradients = images.new_empty(0), theta.new_empty(0)
    with launcher.device_guard(images.device):
        if needs[0]:
            image_gradients = torch.empty_like(images)
            mode = warp.BILINEAR if bilinear else warp.NEAREST
            arguments, shape = (upstream, _planes(image_gradients), theta), (channels, mode.value, threads, pixels)
            launch(warp.gather_gradients, batch * channels * tiles, arguments, shape, key, threads)
        if needs[1] and bilinear:
            stripes = _stripes(batch * channels, tiles)
            partials = theta.new_empty((batch, channels * stripes, 6))
            arguments, shape = (_planes(images), upstream, theta, partials), (channels, fill, stripes, threads, pixels)
            launch(warp.sum_theta_gradients, batch * channels * stripes, arguments, shape, key, threads)
            theta_gradients = partials.sum(1).view(batch, 2, 3)
        elif needs[1]:
            theta_gradients = torch.zeros_like(theta)
    return image_gradients, theta_gradients


def empty_result(images: Tensor, dtype: torch.dtype, channels_last: bool) -> Tensor:
    """An uninitialised result for [B, C, H, W] images."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(images.shape, dtype=dtype, device=images.device, memory_format=layout)


def _image(images: Tensor) -> Images:
    """How the kernels find the pixels of [B, C, H, W], whatever its strides."""
    _, channels, height, width = images.shape
    if _extent(images) >= 2**31 or height * width > _MOST_PIXELS:
        images = images.contiguous()
        if images[0].numel() >= 2**31 or height * width > _MOST_PIXELS:
            raise ValueError(f"images must have below 2^31 values each, got {height} x {width}: use backend='torch'")
    words = _packed_words(images)
    if words is not None:
        images, (image_stride, row_stride, column_stride), channel_stride = words, words.stride(), None
    else:
        image_stride, channel_stride, row_stride, column_stride = images.stride()
        channel_stride = None if channels == 1 else channel_stride
    if row_stride == width * column_stride:
        row_stride = None
    strides = channel_stride, row_stride, column_stride
    are_dense = strides == (1, None, 3) and images.itemsize <= 2
    are_pairs = are_dense and height * width % 2 == 0 and images.data_ptr() % (2 * images.itemsize) == 0
    pair_words = pairs.WORDS if are_pairs and (image_stride % 2 == 0 or len(images) == 1) else None
    return Images(images, image_stride, Layout(*strides, height, width, pair_words))


def specialised(images: Images) -> Images:
    """The same with a layout that is known at compile time, for the first layouts that a process sees.

    Results have the same bits either way in the kernels that are given it, where a layout takes part in the arithmetic
    of whole numbers alone. `prepare` and `compute_gradients`, which divide by sides, are not.
    """
    layout = images.layout
    if layout not in _specialised and len(_specialised) < _MOST_SPECIALISED and not INTERPRETED:
        _specialised[layout] = Layout(*(None if one is None else tl.constexpr(one) for one in layout))
    return Images(images.pointer, images.image_stride, _specialised.get(layout, layout))


def _extent(images: Tensor) -> int:
    """The largest offset inside one image."""
    return sum((size - 1) * stride for size, stride in zip(images.shape[1:], images.stride()[1:], strict=True))


def _packed_words(images: Tensor) -> Tensor | None:
    """uint8 RGBX as int32 words [B, H, W], where memory holds that: one load a pixel instead of three."""
    batch, channels, height, width = images.shape
    image_stride, channel_stride, row_stride, column_stride = images.stride()
    is_packed = images.dtype == torch.uint8 and channels == 3 and channel_stride == 1 and column_stride == 4
    if not is_packed or image_stride % 4 or row_stride % 4 or images.storage_offset() % 4 or images.data_ptr() % 4:
        return None
    last = images.storage_offset() + (batch - 1) * image_stride + _extent(images)
    if last + 2 > images.untyped_storage().nbytes():  # `last` is a blue byte, the unused one follows
        return None
    shape, strides = (batch, height, width, 4), (image_stride, row_stride, 4, 1)
    return images.as_strided(shape, strides).view(torch.int32).squeeze(3)


def _planes(images: Tensor) -> Images:
    """As `_image`, with the strides of channels and rows kept."""
    if _extent(images[:, :1]) >= 2**31 or images.shape[2] * images.shape[3] > _MOST_PIXELS:
        raise ValueError(f"channels must have offsets below 2^31, got images {list(images.shape)}: use backend='torch'")
    image_stride, channel_stride, row_stride, column_stride = images.stride()
    return Images(images, image_stride, Layout(channel_stride, row_stride, column_stride, *images.shape[2:]))


def _constants(values: Sequence[float] | Tensor) -> Constants:
    return Constants(None, values) if isinstance(values, Tensor) else Constants(tuple(map(float, values)), None)


def _as_int32(sizes: Tensor | None) -> Tensor | None:
    """Sizes as the kernels read them."""
    return None if sizes is None else sizes.to(torch.int32).contiguous()


def _slots(field: Tensor) -> Slots:
    return Slots(field, field.stride(0), field.stride(1), field.shape[1])


def _pixels(device: torch.device) -> int:
    """Pixels a thread. Triton 3.6 fails to compile two for AMD GPUs, 3.9 does not; between them is unknown."""
    return 1 if launcher.VERSION < (3, 9) and launcher.is_amd(device) else PIXELS


def _tiles(pixel_count: int, pixels: int = PIXELS) -> tuple[int, int]:
    """Threads a tile and tiles an image. The interpreter is fastest with few large tiles."""
    threads = THREADS
    if INTERPRETED:
        threads = min(4096, triton.next_power_of_2(triton.cdiv(pixel_count, pixels)))
    return threads, triton.cdiv(pixel_count, threads * pixels)


def _stripes(others: int, tiles: int) -> int:
    """Into how many partial sums, a power of two, an image is cut, when there are `others` without it."""
    wanted = max(1, min(tiles, _PROGRAMS // others, _MOST_STRIPES))
    return 1 << (wanted.bit_length() - 1)
