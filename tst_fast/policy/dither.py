"""Translations by fractions of a pixel, for the search: which fraction it is should not decide the gradient.

Bilinear sampling blurs most half-way between two pixels, so the derivative by a translation rises and falls once a
pixel, by far more than its mean: at a single level it says how the blur changes, not how the objective does over
pixels. The mean derivative over one pixel is the objective's difference between its two ends, exactly; and that is what
images whose offsets are uniform in a pixel have in the mean.
"""

import dataclasses

import torch
from torch import Tensor

from tst_kernels import OPERATIONS, Draw


def dithered(draw: Draw, height: int, width: int, sizes: Tensor | None = None) -> Draw:
    """A draw whose translations are moved by up to half a pixel each, at random; from torch's global generator.

    Args:
        draw: of B images. Gradients reach its levels as if nothing had been added.
        height: of the images, in pixels.
        width: of the images, in pixels.
        sizes: integer [B, 2], height and width of the pictures in them, in pixels; None: all of it.

    Returns:
        The same operations and gates; levels of TranslateX and TranslateY within -1..1, the others unchanged.
    """
    levels = draw.levels.detach()
    pixel = torch.zeros_like(levels)  # as a level
    for name, axis, whole in (("TranslateX", 1, width), ("TranslateY", 0, height)):
        operation, side = OPERATIONS[name], whole if sizes is None else sizes[:, axis, None]
        pixel = torch.where(draw.operations == operation.code, 1 / (operation.magnitude(1.0) * side), pixel)
    moved = levels + (torch.rand_like(levels) - 0.5) * pixel
    offset = torch.where(pixel > 0, moved.clamp(-1, 1) - levels, 0)
    return dataclasses.replace(draw, levels=draw.levels + offset)
