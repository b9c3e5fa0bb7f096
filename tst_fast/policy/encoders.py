"""The neural prior: networks that stand for operations with a level (TST, section 3.1; docs/design.md, section 1).

As in the authors' code, operations without a level (Equalize, Invert, Cutout) have none: there is no level for a
gradient to reach. Two points are ours: results are clamped to 0..1, as those of the operations are, and the networks
see pixels in 0..1, not normalised ones.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tst_kernels import Family, warp
from tst_kernels.operations import find_operation


class AffineEncoder(nn.Module):
    """Six features and the level, through one linear layer, to a 2x3 matrix; before alignment, the identity's."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.randn(6))
        self.linear = _zero_linear(7, 6)
        self.register_buffer("_identity", torch.eye(2, 3), persistent=False)

    def forward(self, images: Tensor, levels: Tensor) -> Tensor:
        """Warp floating [B, 3, H, W] in 0..1 by levels [B]."""
        theta = self._identity + self.linear(_with_level(self.features, levels)).view(-1, 2, 3)
        return warp(images, theta)


class ColourEncoder(nn.Module):
    """Ten features and the level, through one linear layer, to a scale and a shift; then a 5x5 convolution.

    Before alignment the identity. The convolution does not know the level.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.randn(10))
        self.linear = _zero_linear(11, 2)
        self.convolution = nn.Conv2d(3, 3, 5, padding=2, padding_mode="replicate", bias=False)
        nn.init.dirac_(self.convolution.weight)

    def forward(self, images: Tensor, levels: Tensor) -> Tensor:
        """Colour floating [B, 3, H, W] in 0..1 by levels [B]."""
        scale, shift = self.linear(_with_level(self.features, levels))[..., None, None].split(1, dim=1)
        return _clamp(self.convolution(images + scale * images + shift))


class Encoders(nn.ModuleDict):
    """An encoder for each operation that has a level, by name.

    Args:
        operations: names of any operations.
    """

    def __init__(self, operations: Sequence[str]) -> None:
        found = [find_operation(name) for name in operations]
        kinds = {o.name: AffineEncoder if o.family is Family.WARP else ColourEncoder for o in found if o.has_level}
        super().__init__({name: kind() for name, kind in kinds.items()})


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs, bias=False)
    nn.init.zeros_(linear.weight)
    return linear


def _with_level(features: Tensor, levels: Tensor) -> Tensor:
    """Features [F] beside each of levels [B]: [B, F + 1]."""
    return torch.cat([features.expand(len(levels), -1), levels.to(features.dtype)[:, None]], dim=1)


def _clamp(x: Tensor) -> Tensor:
    """0..1; the bounds themselves pass gradients, so that black and white can be moved off them."""
    return torch.where(x < 0, torch.zeros_like(x), torch.where(x > 1, torch.ones_like(x), x))
