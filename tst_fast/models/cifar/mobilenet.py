"""MobileNetV2 (Sandler et al., 2018) at half width, as distillation on CIFAR uses it."""

from torch import Tensor, nn

from tst_fast.models.initial import initialise_classifier, initialise_convolutions

STAGES = ((1, 8, 1, 1), (6, 12, 2, 1), (6, 16, 3, 2), (6, 32, 4, 2), (6, 48, 3, 1), (6, 80, 3, 2), (6, 160, 1, 1))
"""Expansion, channels, blocks and stride of the first block. The second stage keeps the side, for small images."""


class MobileNetV2Half(nn.Module):
    """A 3x3 convolution of stride 2, inverted residuals with ReLU, a 1x1 convolution, a mean and a linear layer.

    Args:
        num_classes: outputs.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(*_convolution(3, 16, 3, stride=2), nn.ReLU())
        self.blocks = nn.ModuleList()
        before = 16
        for expansion, width, count, stride in STAGES:
            first = _InvertedResidual(before, width, expansion, stride)
            others = (_InvertedResidual(width, width, expansion, 1) for _ in range(count - 1))
            self.blocks.append(nn.Sequential(first, *others))
            before = width
        self.conv2 = nn.Sequential(*_convolution(before, 1280, 1), nn.ReLU())
        last = nn.Linear(1280, num_classes)
        self.classifier = nn.Sequential(last)
        initialise_convolutions(self)
        initialise_classifier(last)

    def forward(self, images: Tensor) -> Tensor:
        """Floating [B, 3, H, W] to logits [B, num_classes]."""
        hidden = self.conv1(images)
        for block in self.blocks:
            hidden = block(hidden)
        return self.classifier(self.conv2(hidden).mean(dim=(2, 3)))


class _InvertedResidual(nn.Module):
    def __init__(self, before: int, width: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = before * expansion
        self.conv = nn.Sequential(
            *_convolution(before, inner, 1),
            nn.ReLU(),
            *_convolution(inner, inner, 3, stride, groups=inner),
            nn.ReLU(),
            *_convolution(inner, width, 1),
        )
        self.residual = stride == 1 and before == width

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.conv(hidden) if self.residual else self.conv(hidden)


def _convolution(before: int, width: int, size: int, stride: int = 1, groups: int = 1) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(before, width, size, stride, padding=size // 2, groups=groups, bias=False)
    return convolution, nn.BatchNorm2d(width)


MODELS = {"mobilenetv2_half": MobileNetV2Half}
