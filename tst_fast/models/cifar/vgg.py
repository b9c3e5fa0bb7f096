"""VGG networks with batch norm and one linear layer, for CIFAR."""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from tst_fast.models.initial import initialise_classifier, initialise_convolutions


class VGG(nn.Module):
    """Five blocks of 3x3 convolutions, the side halved after each of the first three; a mean and a linear layer.

    A block's output, as features see it, is before its last ReLU.

    Args:
        num_classes: outputs.
        convolutions: in each block.
    """

    def __init__(self, num_classes: int, convolutions: tuple[int, int, int, int, int]) -> None:
        super().__init__()
        before = 3
        for i, (width, count) in enumerate(zip((64, 128, 256, 512, 512), convolutions, strict=True)):
            setattr(self, f"block{i}", _block(before, width, count))
            before = width
        self.classifier = nn.Linear(before, num_classes)
        initialise_convolutions(self)
        initialise_classifier(self.classifier)

    def forward(self, images: Tensor) -> Tensor:
        """Floating [B, 3, H, W] to logits [B, num_classes]."""
        hidden = images
        for i in range(5):
            hidden = F.relu(getattr(self, f"block{i}")(hidden))
            if i < 3:
                hidden = F.max_pool2d(hidden, 2)
        return self.classifier(hidden.mean(dim=(2, 3)))


def _block(before: int, width: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(count):
        layers += [nn.Conv2d(width if i else before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


MODELS = {
    "vgg8": partial(VGG, convolutions=(1, 1, 1, 1, 1)),
    "vgg13": partial(VGG, convolutions=(2, 2, 2, 2, 2)),
}
