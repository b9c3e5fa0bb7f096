"""ShuffleNet V1 with three groups (Zhang et al., 2018) and V2 (Ma et al., 2018), with a stem for small images."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEM = 24
BLOCKS = (4, 8, 4)


class ShuffleNetV1(nn.Module):
    """A 1x1 convolution, three stages that each halve the side, a mean and a linear layer.

    Args:
        num_classes: outputs.
    """

    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = _pointwise(3, STEM)
        self.bn1 = nn.BatchNorm2d(STEM)
        before = STEM
        for i, (width, count) in enumerate(zip((240, 480, 960), BLOCKS, strict=True), start=1):
            first = _GroupedBlock(before, width - before, stride=2)
            others = (_GroupedBlock(width, width, stride=1) for _ in range(count - 1))
            setattr(self, f"layer{i}", nn.Sequential(first, *others))
            before = width
        self.linear = nn.Linear(before, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Floating [B, 3, H, W] to logits [B, num_classes]."""
        hidden = F.relu(self.bn1(self.conv1(images)))
        hidden = self.layer3(self.layer2(self.layer1(hidden)))
        return self.linear(hidden.mean(dim=(2, 3)))


class _GroupedBlock(nn.Module):
    """With stride 2 the pooled input is put beside the new channels, with stride 1 it is added to them."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        inner = width // 4
        self.stride = stride
        self.groups = 1 if before == STEM else 3
        self.conv1 = _pointwise(before, inner, self.groups)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = _depthwise(inner, stride)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = _pointwise(inner, width, groups=3)
        self.bn3 = nn.BatchNorm2d(width)

    def forward(self, hidden: Tensor) -> Tensor:
        new = F.channel_shuffle(F.relu(self.bn1(self.conv1(hidden))), self.groups)
        new = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(new)))))
        if self.stride == 1:
            return F.relu(new + hidden)
        return F.relu(torch.cat([new, F.avg_pool2d(hidden, 3, stride=2, padding=1)], dim=1))


class ShuffleNetV2(nn.Module):
    """A 1x1 convolution, three stages that each halve the side, a 1x1 convolution, a mean and a linear layer.

    Args:
        num_classes: outputs.
    """

    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = _pointwise(3, STEM)
        self.bn1 = nn.BatchNorm2d(STEM)
        before = STEM
        for i, (width, count) in enumerate(zip((116, 232, 464), BLOCKS, strict=True), start=1):
            others = (_SplitBlock(width) for _ in range(count - 1))
            setattr(self, f"layer{i}", nn.Sequential(_DownBlock(before, width), *others))
            before = width
        self.conv2 = _pointwise(before, 1024)
        self.bn2 = nn.BatchNorm2d(1024)
        self.linear = nn.Linear(1024, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Floating [B, 3, H, W] to logits [B, num_classes]."""
        hidden = F.relu(self.bn1(self.conv1(images)))
        hidden = self.layer3(self.layer2(self.layer1(hidden)))
        hidden = F.relu(self.bn2(self.conv2(hidden)))
        return self.linear(hidden.mean(dim=(2, 3)))


class _SplitBlock(nn.Module):
    """Half of the channels goes past the convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1 = _pointwise(half, half)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = _depthwise(half, 1)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = _pointwise(half, half)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, hidden: Tensor) -> Tensor:
        kept, new = hidden.chunk(2, dim=1)
        new = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(new)))))
        new = F.relu(self.bn3(self.conv3(new)))
        return F.channel_shuffle(torch.cat([kept, new], dim=1), 2)


class _DownBlock(nn.Module):
    """Both halves are convolved and halved in side; layers 1 and 2 make one half, 3 to 5 the other."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1 = _depthwise(before, 2)
        self.bn1 = nn.BatchNorm2d(before)
        self.conv2 = _pointwise(before, half)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = _pointwise(before, half)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = _depthwise(half, 2)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = _pointwise(half, half)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, hidden: Tensor) -> Tensor:
        one = F.relu(self.bn2(self.conv2(self.bn1(self.conv1(hidden)))))
        other = self.bn4(self.conv4(F.relu(self.bn3(self.conv3(hidden)))))
        other = F.relu(self.bn5(self.conv5(other)))
        return F.channel_shuffle(torch.cat([one, other], dim=1), 2)


def _pointwise(before: int, width: int, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, width, 1, groups=groups, bias=False)


def _depthwise(width: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(width, width, 3, stride, padding=1, groups=width, bias=False)


MODELS = {"shufflenetv1": ShuffleNetV1, "shufflenetv2": ShuffleNetV2}
