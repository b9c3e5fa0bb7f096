"""Checks of a network's forward pass, made before anything is trained."""

import copy
from typing import Any, Literal

import torch
from torch import nn

from tst_fast.config.imports import is_import_path
from tst_fast.config.schema import Config
from tst_fast.errors import UserError, in_short
from tst_fast.models.frozen import frozen


@torch.no_grad()
def check_forward(
    network: nn.Module, role: Literal["teacher", "student"], config: Config, size: tuple[int, int]
) -> Any:
    """One forward pass on two blank images, in eval mode; the network stays as it is.

    Args:
        network: on its device.
        role: of it, for the flag to name.
        config: of the run.
        size: height and width of the training images, in pixels.

    Returns:
        What it puts out.

    Raises:
        UserError: the network refuses images of this size, or is too deep for them.
    """
    images = torch.zeros(2, 3, *size, device=next(network.parameters()).device)
    try:
        with frozen(network):
            return network.forward(images)  # not by a call, which would compile a network that is to be compiled
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        if is_import_path(getattr(config, role).name):  # whatever the user's code raises
            raise UserError(_refusal(config, role, size, in_short(error))) from error
        if not isinstance(error, RuntimeError | ValueError | AssertionError):
            raise
        raise UserError(_refusal(config, role, size, str(error).partition("\n")[0].rstrip("."))) from None


@torch.no_grad()
def check_training_output(
    network: nn.Module, role: Literal["teacher", "student"], config: Config, size: tuple[int, int]
) -> None:
    """Whether a network that is trained puts out in training what it does else; arguments as for `check_forward`.

    Raises:
        UserError: it puts out something else, such as the answers of auxiliary classifiers beside its own.
    """
    images = torch.zeros(2, 3, *size, device=next(network.parameters()).device)
    tried = copy.deepcopy(network)  # whose batch-norm statistics may change
    with torch.random.fork_rng([images.device] if images.is_cuda else []):  # by default, of every GPU of the machine
        kinds = [type(tried.train(mode).forward(images)) for mode in (True, False)]
    if kinds[0] is not kinds[1]:
        raise UserError(
            f"--{role}.name {getattr(config, role).name} puts out {kinds[0].__name__} in training and "
            f"{kinds[1].__name__} else: leave its auxiliary classifiers out, for torchvision's by --{role}.arguments "
            "'{aux_logits: false}'"
        )


def _refusal(config: Config, role: str, size: tuple[int, int], why: str) -> str:
    cropped, name = config.data.crop in ("scale", "fit"), getattr(config, role).name
    shown, flag = ("x".join(map(str, size)), "crop_size") if cropped else (str(size[0]), "image_size")
    found = f"--{role}.name {name} does not take images of {shown} px (--data.{flag}): {why}"
    if is_import_path(name):
        return f"{found} (in code of your own)"
    remedy = f", or give the network its size, for timm's by --{role}.arguments '{{img_size: {size[0]}}}'"
    return f"{found}. Choose another size or network{'' if cropped else remedy}"
