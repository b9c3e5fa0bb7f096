"""Find by gradient descent how far a photograph was rotated and how much it was brightened.

    python examples/learn_magnitudes.py [PICTURE.png]

Of TST-Fast, only `tst_kernels` is used. On a GPU, the same lines run on Triton.
"""

import sys

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image

from tst_kernels import OPERATIONS, apply

device = "cuda" if torch.cuda.is_available() else "cpu"
photograph = torch.from_numpy(load_sample_image("flower.jpg")[::2, ::2].copy())[None].to(device)  # uint8 [1, H, W, 3]


def turned_and_brightened(rotation: torch.Tensor, brightness: torch.Tensor) -> torch.Tensor:
    """One operation after the other: gradients pass through the second to the first."""
    return apply(apply(photograph, "Rotate", rotation), "Brightness", brightness)


target = turned_and_brightened(torch.tensor(-0.55, device=device), torch.tensor(0.3, device=device))
levels = torch.zeros(2, device=device, requires_grad=True)  # Rotate and Brightness, each in [-1, 1]
optimizer = torch.optim.Adam([levels], lr=0.03)
for step in range(100):
    loss = (turned_and_brightened(*levels) - target).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        levels.clamp_(-1, 1)
    if step % 20 == 0 or step == 99:
        degrees, factor = OPERATIONS["Rotate"].magnitude(levels[0].item()), 1 + 0.9 * levels[1].item()
        print(f"step {step:3}: loss {loss.item():.5f}, rotation {degrees:6.2f} degrees, brightness x {factor:.3f}")

figure = Figure(figsize=(9, 2.4), layout="constrained")
before, after = turned_and_brightened(*torch.zeros_like(levels)), turned_and_brightened(*levels).detach()
for axes, image, title in zip(
    figure.subplots(1, 3), (before, after, target), ("before", "after 100 steps", "target"), strict=True
):
    axes.imshow(image[0].permute(1, 2, 0).cpu())
    axes.set(title=title, xticks=[], yticks=[])
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "learn_magnitudes.png", dpi=90)
