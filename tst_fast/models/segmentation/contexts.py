"""Context modules: atrous spatial pyramid pooling (DeepLabV3) and pyramid pooling (PSPNet)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al., 2017): one 1x1 and three dilated convolutions, and the mean.

    Args:
        channels: of the encoder's last stage.
        width: channels of each branch, and of what comes out: [B, width, h, w].
        rates: dilations, in cells; those of a network of stride 8.
    """

    def __init__(self, channels: int, width: int, rates: Sequence[int] = (12, 24, 36)) -> None:
        super().__init__()
        dilated = [convolution(channels, width, 3, rate) for rate in rates]
        self.branches = nn.ModuleList([convolution(channels, width, 1), *dilated])
        self.pool = convolution(channels, width, 1)
        self.project = nn.Sequential(*convolution((len(rates) + 2) * width, width, 1), nn.Dropout(0.5))
        self.width = width

    def forward(self, features: Tensor) -> Tensor:
        """[B, channels, h, w] to [B, width, h, w]."""
        everywhere = self.pool(features.mean((2, 3), keepdim=True)).expand(-1, -1, *features.shape[2:])
        return self.project(torch.cat([*(branch(features) for branch in self.branches), everywhere], dim=1))


class Psp(nn.Module):
    """The pyramid pooling of PSPNet (Zhao et al., 2017): the features beside their averages over coarser grids.

    Args:
        channels: of the encoder's last stage.
        align_corners: how the averages are resized.
        grids: rows and columns of each.
    """

    def __init__(self, channels: int, align_corners: bool, grids: Sequence[int] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(convolution(channels, channels // 4, 1) for _ in grids)
        self.grids, self.align_corners = tuple(grids), align_corners
        self.width = channels + len(grids) * (channels // 4)

    def forward(self, features: Tensor) -> Tensor:
        """[B, channels, h, w] to [B, width, h, w]."""
        maps = [features]
        for grid, branch in zip(self.grids, self.branches, strict=True):
            averages = branch(F.adaptive_avg_pool2d(features, grid))
            maps.append(F.interpolate(averages, features.shape[2:], mode="bilinear", align_corners=self.align_corners))
        return torch.cat(maps, dim=1)


def convolution(channels: int, width: int, side: int, dilation: int = 1) -> nn.Sequential:
    """A convolution that keeps the size, batch norm and ReLU."""
    padding = dilation * (side // 2)
    return nn.Sequential(
        nn.Conv2d(channels, width, side, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
