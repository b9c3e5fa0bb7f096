"""Images without edges, and small networks that know their labels: in float64, for finite differences."""

import torch
import torch.nn.functional as F
from torch import nn

from tst_fast.models.segmentation import SegmentationOutput

HEIGHT, WIDTH, CLASSES = 24, 40, 3
MEAN, STD = (0.5, 0.4, 0.45), (0.25, 0.2, 0.3)


def smooth_images():
    """Two images [2, 3, H, W] of waves in 0..1, and labels [2, H, W] by the height of others; some are ignored."""
    y, x = torch.meshgrid(torch.arange(HEIGHT) / HEIGHT, torch.arange(WIDTH) / WIDTH, indexing="ij")
    waves = [torch.sin(6 * x + 4 * y + phase) * torch.cos(3 * x - 5 * y + phase) for phase in range(8)]
    images = 0.5 + 0.3 * torch.stack(waves[:6]).view(2, 3, HEIGHT, WIDTH).double()
    labels = torch.stack([(wave > -0.2).byte() + (wave > 0.3).byte() for wave in waves[6:]])
    labels[0, :5] = 255
    return images, labels


class Toy(nn.Module):
    """Logits at every second pixel."""

    def __init__(self, width):
        super().__init__()
        layers = nn.Conv2d(3, width, 5, stride=2, padding=2), nn.Tanh(), nn.Conv2d(width, CLASSES, 3, padding=1)
        self.layers = nn.Sequential(*layers).double()

    def forward(self, images):
        return SegmentationOutput(self.layers(images))


def trained(width, steps):
    """A `Toy` that has learned the labels of `smooth_images`."""
    images, labels = smooth_images()
    mean, std = (images.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    torch.manual_seed(0)
    network = Toy(width)
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(steps):
        output = network((images - mean) / std)
        loss = F.cross_entropy(output.resized(output.logits, (HEIGHT, WIDTH)), labels.long(), ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.requires_grad_(False)
