"""A small plain network for small images."""

from collections.abc import Sequence

from torch import Tensor, nn


class ConvNet(nn.Module):
    """3x3 convolutions with batch norm, halving the side after each, and ReLU; then a mean and a linear layer.

    Args:
        num_classes: outputs.
        channels: of each convolution.
    """

    def __init__(self, num_classes: int, channels: Sequence[int] = (32, 64, 128)) -> None:
        super().__init__()
        stages = []
        for before, after in zip((3, *channels), channels, strict=False):
            stages += [
                nn.Conv2d(before, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.MaxPool2d(2),
                nn.ReLU(),  # of the greatest of four is the greatest of four ReLUs, at a quarter of the time
            ]
        self.features = nn.Sequential(*stages)
        self.classifier = nn.Linear(channels[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Floating [B, 3, H, W] to logits [B, num_classes]."""
        return self.classifier(self.features(images).mean(dim=(2, 3)))


MODELS = {"convnet": ConvNet}
