"""Small detectors, and objects for them."""

import torch

from tst_fast.models.detection import build_detector
from tst_pipelines import Targets

CLASSES = ("cat", "dog", "eel", "fox")
SIDE = 96
TINY = {
    "fcos": {"channels": [4, 8, 8, 8], "depth": 1, "width": 32, "convs": 1},
    "retinanet": {"channels": [4, 8, 8, 8], "depth": 1, "width": 32},
    "faster_rcnn": {"channels": [4, 8, 8, 8], "depth": 1, "width": 16, "hidden": 16},
}


def tiny(kind, seed=0, **changes):
    """A detector of this kind in eval mode, its classes less sure of background than torchvision makes them."""
    torch.manual_seed(seed)
    detector = build_detector(kind, CLASSES, {**TINY[kind], **changes})
    for name, parameter in detector.named_parameters():
        if name.endswith("cls_logits.bias"):
            torch.nn.init.zeros_(parameter)
        elif name.startswith("head") and name.endswith("weight") and parameter.dim() == 4:
            torch.nn.init.normal_(parameter, std=0.1)
    return detector.eval()


def images(count=3, seed=0):
    """Noise, floating [B, 3, SIDE, SIDE]."""
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def objects():
    """Of three images: two objects, none, and one."""
    boxes = torch.zeros(3, 2, 4)
    boxes[0] = torch.tensor([[10.0, 12, 44, 50], [48, 40, 90, 91]])
    boxes[2, 0] = torch.tensor([20.0, 3, 61, 30])
    return Targets(torch.tensor([[1, 3], [-1, -1], [0, -1]]), boxes, torch.tensor([[96, 96], [96, 96], [64, 96]]))
