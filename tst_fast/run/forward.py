"""Whether a network takes images of the size that it will be given: asked before anything is trained."""

from typing import Literal

import torch
from torch import nn

from tst_fast.config.schema import Config
from tst_fast.errors import UserError
from tst_fast.models.frozen import frozen


@torch.no_grad()
def check_forward(
    network: nn.Module, role: Literal["teacher", "student"], config: Config, size: tuple[int, int]
) -> None:
    """One forward pass on two blank images, in eval mode; the network stays as it is.

    Args:
        network: on its device.
        role: of it, for the flag to name.
        config: of the run.
        size: height and width of the training images, in pixels.

    Raises:
        UserError: the network refuses images of this size, or is too deep for them.
    """
    images = torch.zeros(2, 3, *size, device=next(network.parameters()).device)
    try:
        with frozen(network):
            network.forward(images)  # not by a call, which would compile a network that is to be compiled
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(_refusal(config, role, size, str(error).partition("\n")[0].rstrip("."))) from None


def _refusal(config: Config, role: str, size: tuple[int, int], why: str) -> str:
    cropped = config.data.crop in ("scale", "fit")
    shown, flag = ("x".join(map(str, size)), "crop_size") if cropped else (str(size[0]), "image_size")
    remedy = f", or give the network its size, for timm's by --{role}.arguments '{{img_size: {size[0]}}}'"
    return (
        f"--{role}.name {getattr(config, role).name} does not take images of {shown} px (--data.{flag}): {why}. Choose "
        f"another size or network{'' if cropped else remedy}"
    )
