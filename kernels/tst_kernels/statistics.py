"""What some operations need to know of the whole image first: mean grey, histogram, and the tables made from it."""

import torch
from torch import Tensor

from tst_kernels.operations import GREY_WEIGHTS


def grey(x: Tensor) -> Tensor:
    """Luma of [N, C, H, W] as [N, 1, H, W]; an image of one channel is its own grey."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.unbind(1)
    return (GREY_WEIGHTS[0] * red + GREY_WEIGHTS[1] * green + GREY_WEIGHTS[2] * blue).unsqueeze(1)


def inside_of(sizes: Tensor, height: int, width: int) -> Tensor:
    """Which pixels of the canvas are of the picture at its top left: bool [N, 1, H, W], of sizes [N, 2]."""
    rows = torch.arange(height, device=sizes.device)[:, None] < sizes[:, 0, None, None, None]
    return rows & (torch.arange(width, device=sizes.device) < sizes[:, 1, None, None, None])


def mean_grey(x: Tensor, inside: Tensor | None = None) -> Tensor:
    """Mean of grey(x) over each image of [N, C, H, W], or over what is inside of it: [N, 1], differentiable."""
    if inside is None:
        channel_means = x.mean(dim=(2, 3))
    else:
        channel_means = torch.where(inside, x, 0).sum(dim=(2, 3)) / inside.sum(dim=(2, 3))
    return grey(channel_means[..., None, None]).flatten(1)


def eight_bit(x: Tensor) -> Tensor:
    """The 8-bit value of pixels in 0..255: rounded half up and clamped, still floating point."""
    return (x + 0.5).floor_().clamp_(0, 255)


def table_index(x: Tensor) -> Tensor:
    """Where each pixel of [N, C, H, W] in 0..255 finds its 8-bit value, 0 if it is NaN, in tables [N, C, 256]: flat."""
    first = 256 * torch.arange(x.shape[0] * x.shape[1], dtype=torch.int32, device=x.device)
    levels = eight_bit(x.detach()).nan_to_num().flatten(2).to(torch.int32)
    return (levels + first.view(*x.shape[:2], 1)).flatten()


def histogram(index: Tensor, images: int, channels: int, inside: Tensor | None = None) -> Tensor:
    """Counts of the 8-bit values of each channel, from their `table_index`: int64 [N, C, 256].

    `inside`, bool [N, 1, H, W], says which pixels count.
    """
    bins = images * channels * 256
    if inside is not None:
        index = torch.where(inside.expand(-1, channels, -1, -1).flatten(), index, bins)
    return torch.bincount(index, minlength=bins)[:bins].view(images, channels, 256)


def equalize_tables(counts: Tensor) -> Tensor:
    """PIL's `ImageOps.equalize`: int64 [..., 256] histogram to int64 [..., 256] table.

    The step leaves out the last bin that is not empty; a channel whose step is 0 is kept as it is.
    """
    values = torch.arange(256, device=counts.device)
    last = torch.where(counts > 0, values, 0).amax(-1, keepdim=True)
    step = (counts.sum(-1, keepdim=True) - counts.gather(-1, last)) // 255
    before = counts.cumsum(-1) - counts
    table = ((before + step // 2) // step.clamp(min=1)).clamp(max=255)
    return torch.where(step == 0, values, table)


def autocontrast_tables(counts: Tensor) -> Tensor:
    """PIL's `ImageOps.autocontrast`: int64 [..., 256] histogram to int64 [..., 256] table.

    In whole numbers, where PIL multiplies by a floating-point scale before it truncates. A channel of one value only
    is kept as it is.
    """
    values = torch.arange(256, device=counts.device)
    lowest = torch.where(counts > 0, values, 255).amin(-1, keepdim=True)
    highest = torch.where(counts > 0, values, 0).amax(-1, keepdim=True)
    span = highest - lowest
    table = ((values - lowest) * 255).div(span.clamp(min=1), rounding_mode="floor").clamp(0, 255)
    return torch.where(span <= 0, values, table)
