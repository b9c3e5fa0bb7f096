"""Whether a network takes images of the size that it will be given: asked before anything is trained."""

from typing import Literal

import torch
from torch import nn

from tst_fast.config.schema import Config
from tst_fast.errors import UserError
from tst_fast.models.frozen import frozen


@torch.no_grad()
def check_forward(network: nn.Module, role: Literal["teacher", "student"], config: Config) -> None:
    """One forward pass on two blank images, in eval mode; the network stays as it is.

    Args:
        network: on its device.
        role: of it, for the flag to name.
        config: of the run.

    Raises:
        UserError: the network refuses images of this side, or is too deep for them.
    """
    side = config.data.image_size
    images = torch.zeros(2, 3, side, side, device=next(network.parameters()).device)
    try:
        with frozen(network):
            network.forward(images)  # not by a call, which would compile a network that is to be compiled
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(
            f"--{role}.name {getattr(config, role).name} does not take images of {side} px (--data.image_size): "
            f"{str(error).partition(chr(10))[0].rstrip('.')}. Choose another size or network, or give the network its "
            f"size, for timm's by --{role}.arguments '{{img_size: {side}}}'"
        ) from None
