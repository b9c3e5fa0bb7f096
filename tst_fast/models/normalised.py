"""Networks trained with another normalisation of their images than the one of the data."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
import torchvision
from torch import Tensor, nn

from tst_fast.errors import UserError
from tst_fast.models.build import find_model

Channels = tuple[float, float, float]


class Normalisation(NamedTuple):
    """What is done to RGB images in 0..1: minus the mean, over the standard deviation.

    Attributes:
        mean: of red, green and blue.
        std: of red, green and blue; 1/255 for a network that takes values in 0..255.
        bgr: whether blue comes first after that, as in Caffe and OpenCV.
    """

    mean: Channels
    std: Channels
    bgr: bool = False


def normalised(network: nn.Module, given: Normalisation, own: Normalisation) -> nn.Module:
    """The network itself, which from now on takes images [B, 3, H, W] that are normalised as `given`.

    It renormalises them first, in a forward pre-hook: its submodules and its state dict stay as they are.
    Nothing is done where the two agree.

    Args:
        network: called with one argument, the images.
        given: how they are normalised; in RGB.
        own: how they were when the network was trained.
    """
    if own == given:
        return network
    scale = [a / b for a, b in zip(given.std, own.std, strict=True)]
    shift = [(a - b) / std for a, b, std in zip(given.mean, own.mean, own.std, strict=True)]
    constants = torch.tensor([scale, shift], device=next(network.parameters()).device)
    network.register_buffer("renormalisation", constants.view(2, 3, 1, 1), persistent=False)
    network.register_forward_pre_hook(partial(_renormalise, bgr=own.bgr))
    return network


def _renormalise(network: nn.Module, inputs: tuple[Tensor], bgr: bool) -> tuple[Tensor]:
    constants = network.renormalisation
    assert isinstance(constants, Tensor)  # a buffer
    scale, shift = constants
    images = inputs[0] * scale + shift
    return (images.flip(1) if bgr else images,)


def published_normalisation(name: str) -> Normalisation | None:
    """How a published network of torchvision's or timm's was trained, by their metadata.

    Args:
        name: as for `build_model`, or torchvision/NAME of a segmentation network, or a detector's.

    Returns:
        None where they say nothing, as of networks that are not theirs.
    """
    source, _, plain = name.rpartition("/")
    if source in ("", "torchvision") and plain in torchvision.models.list_models(torchvision.models.detection):
        return Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # their weights' metadata say nothing
    if source != "torchvision" or plain not in torchvision.models.list_models(torchvision.models.segmentation):
        try:
            source, plain = find_model(name)
        except UserError:  # one of a task's own, of which nothing is published
            return None
    if source == "torchvision":
        trained = torchvision.models.get_model_weights(plain)["DEFAULT"].transforms()
        return Normalisation(_channels(trained.mean), _channels(trained.std))
    if source == "timm":
        import timm  # only where it is needed: it takes seconds to import

        trained = timm.get_pretrained_cfg(plain)
        return None if trained is None else Normalisation(_channels(trained.mean), _channels(trained.std))
    return None


def _channels(values: Sequence[float]) -> Channels:
    red, green, blue = values
    return red, green, blue
