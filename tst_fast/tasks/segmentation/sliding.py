"""Sliding-window inference."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from tst_fast.models.segmentation import SegmentationOutput


def slide(
    network: Callable[[Tensor], SegmentationOutput],
    images: Tensor,
    window: tuple[int, int],
    step: tuple[int, int],
) -> SegmentationOutput:
    """Apply a network to windows that cover the images, and average the logits where they overlap.

    The last window of a row or column is moved back inside, as in mmsegmentation; an image smaller than the window is
    one window.

    Args:
        network: images [B, 3, h, w], normalised, to logits at its stride.
        images: floating [B, 3, H, W], normalised.
        window: height and width, in pixels.
        step: from one window to the next, down and to the right, in pixels; at most the window.

    Returns:
        Logits float32 [B, C, H, W], of each pixel, and no auxiliary ones.

    Raises:
        ValueError: a step exceeds the window, so that pixels between windows would have no answer.
    """
    if any(by > side for by, side in zip(step, window, strict=True)):
        raise ValueError(f"step must not exceed the window, {list(window)}, or pixels are left out, got {list(step)}")
    height, width = images.shape[2:]
    total = None
    counts = torch.zeros(height, width, device=images.device)
    for rows in _windows(height, window[0], step[0]):
        for columns in _windows(width, window[1], step[1]):
            part = images[:, :, rows, columns]
            output = network(part)
            logits = output.resized(output.logits, (part.shape[2], part.shape[3]))
            if total is None:
                total = logits.new_zeros(len(images), logits.shape[1], height, width)
            total[:, :, rows, columns] += logits
            counts[rows, columns] += 1
    assert total is not None  # there is one window at least
    return SegmentationOutput(total.div_(counts))


def _windows(side: int, window: int, step: int) -> Iterator[slice]:
    window = min(window, side)
    for start in range(0, side - window + step, step):
        start = min(start, side - window)
        yield slice(start, start + window)
