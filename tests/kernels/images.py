"""Images the kernels' tests share: real photographs and noise of odd sizes."""

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor


def photographs() -> Tensor:
    """Two real photographs, cropped: uint8 [2, 96, 128, 3]."""
    return torch.from_numpy(np.stack([image[100:196, 200:328] for image in load_sample_images().images]))


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Uniform uint8 values."""
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


SCENES = {
    "photographs": photographs(),
    "odd": noise(2, 17, 19, 3),
    "tall": noise(1, 33, 5, 3),
    "pixel": noise(2, 1, 1, 3),
}
