"""What a segmentation network cannot be trained on, refused before anything is."""

from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tst_fast.errors import UserError
from tst_fast.models.frozen import frozen


def check_crop(size: tuple[int, int], multiple: int, role: str) -> None:
    """Refuse crops whose pixels do not fill the cells of a network's map.

    Args:
        size: height and width, in pixels.
        multiple: of a `SegmentationNetwork`.
        role: what the network is to the user: "teacher" or "student".

    Raises:
        UserError: with the next sizes that do.
    """
    if any(side % multiple for side in size):
        below, above = ([max(side // multiple + more, 1) * multiple for side in size] for more in (0, 1))
        fitting = [side if side % multiple == 0 else next_ for side, next_ in zip(size, above, strict=True)]
        smaller = [side if side % multiple == 0 else last for side, last in zip(size, below, strict=True)]
        raise UserError(
            f"--data.crop_size is {list(size)}, but both sides must be multiples of {multiple} for --{role}.name: take "
            f"{smaller} or {fitting}"
        )


def check_batch(network: nn.Module, size: tuple[int, int], images: int, role: str) -> None:
    """Refuse a single image where batch norm has one value for each channel: after pooling over the whole image.

    Args:
        network: images [B, 3, H, W] to anything, on its device.
        size: height and width of the training images, in pixels.
        images: that one forward pass in training sees, of one process, or of all if batch norm is synchronised.
        role: what the network is to the user: "teacher" or "student".

    Raises:
        UserError: with the layer and the remedies.
    """
    if images > 1:
        return
    pooled: list[str] = []

    def note(name: str, layer: nn.Module, inputs: tuple) -> None:
        if inputs[0].shape[2:].numel() == 1:
            pooled.append(name)

    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, _BatchNorm)}
    handles = [layer.register_forward_pre_hook(partial(note, name)) for name, layer in layers.items()]
    with frozen(network), torch.no_grad():
        network(torch.zeros(1, 3, *size, device=next(network.parameters()).device))
    for handle in handles:
        handle.remove()
    if pooled:
        raise UserError(
            f"--{role}.name has batch norm after pooling over the whole image ({pooled[0]}), which cannot normalise "
            "the one value of a single image: give each process two images or more at a time (--data.batch_size, "
            f"--{role}_training.accumulate)"
        )
