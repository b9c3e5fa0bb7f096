"""A small network for small images, without a library's encoder."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from tst_fast.models.initial import initialise_convolutions
from tst_fast.models.segmentation.contexts import convolution
from tst_fast.models.segmentation.network import SegmentationNetwork
from tst_fast.models.segmentation.output import SegmentationOutput


class Dilated(SegmentationNetwork):
    """Four residual blocks at a quarter of the resolution, the last two dilated, and the mean over the image.

    Args:
        num_classes: channels of the logits.
        channels: of the stem, the first block, the second, and the other two and the head.
    """

    stride = 4

    def __init__(self, num_classes: int, channels: Sequence[int] = (16, 32, 48, 64)) -> None:
        super().__init__()
        stem, first, second, last = channels
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(stem), nn.ReLU(inplace=True)
        )
        self.down = _Block(stem, first, stride=2)
        self.blocks = nn.Sequential(
            _Block(first, second), _Block(second, last, dilation=2), _Block(last, last, dilation=4)
        )
        self.pool = nn.Conv2d(last, last, 1)
        self.skip = nn.Conv2d(first, last, 1)
        self.head = nn.Sequential(convolution(last, last, 3), nn.Conv2d(last, num_classes, 1))
        initialise_convolutions(self)

    def forward(self, images: Tensor) -> SegmentationOutput:
        """Images, floating [B, 3, H, W], normalised, to logits [B, num_classes, H / 4, W / 4]."""
        near = self.down(self.stem(images))
        far = self.blocks(near)
        far = far + F.relu(self.pool(far.mean((2, 3), keepdim=True)))
        return SegmentationOutput(self.head(far + self.skip(near)))


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the first takes the stride."""

    def __init__(self, channels: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        around = {"padding": dilation, "dilation": dilation, "bias": False}
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, **around),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, **around),
            nn.BatchNorm2d(width),
        )
        self.shortcut = nn.Identity()
        if stride > 1 or channels != width:
            # An average, then a convolution, rather than a 1x1 convolution with a stride: with 8 channels and
            # channels_last, the gradient of that ends torch 2.14 on CPUs with a segmentation fault.
            average = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(average, nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, features: Tensor) -> Tensor:
        """[B, channels, h, w] to [B, width, h / stride, w / stride]."""
        return F.relu(self.convolutions(features) + self.shortcut(features))
