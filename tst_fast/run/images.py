"""The form in which networks take images."""

from typing import Any

import torch
from torch import Tensor, nn

from tst_fast.ranks import Ranks


def form_of(images: Tensor, ranks: Ranks, memory_format: torch.memory_format, keep_precision: bool) -> dict[str, Any]:
    """Precision and order of memory, as arguments of `tst_kernels.mix`: what networks' first layers would cast to.

    Args:
        images: uint8, or floating.
        ranks: whose autocast networks run under.
        memory_format: of their weights.
        keep_precision: float32, or that of floating images, whatever the autocast: where they are still warped, or
            resized by the networks.
    """
    kind = ranks.device.type
    with ranks.autocast():
        low = torch.is_autocast_enabled(kind) and not keep_precision
        whole = images.dtype if images.is_floating_point() else torch.float32
        dtype = torch.get_autocast_dtype(kind) if low else whole
    return {"dtype": dtype, "memory_format": memory_format}


def memory_format_of(network: nn.Module) -> torch.memory_format:
    """channels_last where the weights of convolutions are, else contiguous."""
    for weight in network.parameters():
        if weight.dim() == 4 and not weight.is_contiguous():
            return torch.channels_last
    return torch.contiguous_format


def can_be_channels_last(network: nn.Module, device: torch.device) -> bool:
    """Whether its gradients can be computed with weights in channels_last.

    On CPUs, torch 2.14's gradient of a 1x1 convolution with a stride and fewer than 16 channels ends the process there.
    """
    convolutions = (layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    strided = (layer for layer in convolutions if layer.kernel_size == (1, 1) and layer.stride != (1, 1))
    return device.type != "cpu" or all(layer.in_channels // layer.groups >= 16 for layer in strided)


def size_of(images: Tensor) -> tuple[int, int]:
    """Height and width of uint8 [B, H, W, C] or floating [B, C, H, W] images, in pixels."""
    height, width = images.shape[1:3] if images.dtype == torch.uint8 else images.shape[2:]
    return height, width
