"""Random images in every layout, and draws in which each image has operations of its own."""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.timing import Timed
from tst_kernels import OPERATIONS, Draw, mix

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SLOTS = 4
_SIGNED = [operation.signed for operation in OPERATIONS.values()]


@dataclass(frozen=True)
class Kind:
    """What goes into `mix` and what comes out.

    Attributes:
        images: "packed" (RGBX bytes), "nhwc", "nchw" (bytes) or "float32" [B, 3, H, W].
        result: the result's dtype.
        memory_format: of the result.
    """

    images: str = "packed"
    result: torch.dtype = torch.bfloat16
    memory_format: torch.memory_format = torch.contiguous_format

    @property
    def columns(self) -> dict[str, object]:
        """As columns of a row."""
        layout = " channels_last" if self.memory_format == torch.channels_last else ""
        return {"images": self.images, "result": str(self.result).removeprefix("torch.") + layout}

    def bytes_moved(self, batch: int, size: int) -> int:
        """By a forward pass: each image read and written once."""
        read = {"packed": 4, "nhwc": 3, "nchw": 3, "float32": 12}[self.images]
        return batch * size**2 * (read + 3 * self.result.itemsize)


KINDS = (
    Kind(),
    Kind(memory_format=torch.channels_last),
    Kind("nhwc"),
    Kind("float32", torch.float32),
)
"""The first is the fastest and stands for all in the comparisons of variants."""


def images_of(kind: str, batch: int, size: tuple[int, int], device: torch.device, seed: int = 0) -> Tensor:
    """Noise in one of the layouts of `Kind`."""
    generator = torch.Generator(device).manual_seed(seed)
    if kind == "float32":
        eight_bit = torch.randint(0, 256, (batch, 3, *size), device=device, generator=generator)
        offset = 0.6 * torch.rand(eight_bit.shape, device=device, generator=generator) - 0.3  # no doubt how to round it
        return (eight_bit + offset).clamp_(0.1, 254.9) / 255
    shape = {"packed": (batch, *size, 4), "nhwc": (batch, *size, 3), "nchw": (batch, 3, *size)}[kind]
    return torch.randint(0, 256, shape, dtype=torch.uint8, device=device, generator=generator)


def draw_of(batch: int, device: torch.device, gradients: bool, seed: int = 0, operation: str | None = None) -> Draw:
    """Four distinct operations an image, levels of either sign and gates in between; or `operation` alone, in full."""
    generator = torch.Generator().manual_seed(seed)
    if operation is None:
        codes = torch.rand(batch, len(OPERATIONS), generator=generator).topk(SLOTS).indices
        gates = 0.05 + 0.9 * torch.rand(codes.shape, generator=generator)
    else:
        codes = torch.full((batch, 1), OPERATIONS[operation].code)
        gates = torch.ones(batch, 1)
    shares = 0.1 + 0.8 * torch.rand(codes.shape, generator=generator)
    shares = (shares * 2**12).round() / 2**12  # Solarize's threshold is then the same number in any precision
    levels = torch.where(torch.tensor(_SIGNED)[codes], 2 * shares - 1, shares)
    fields = (field.to(device).requires_grad_(gradients) for field in (levels, gates))
    return Draw(codes.int().to(device), *fields, torch.rand(batch, 2, generator=generator).to(device))


def call_of(kind: Kind, batch: int, size: int, passes: str, device: torch.device, seed: int = 0, **how: str) -> Timed:
    """What to prepare and what to time of `mix`: its "forward", its "backward" or "both"; `how` is the draw's."""
    images = images_of(kind.images, batch, (size, size), device, seed)
    draw = draw_of(batch, device, passes != "forward", seed, **how)
    shape = (batch, 3, size, size)
    upstream = torch.rand(shape, device=device).to(kind.result, memory_format=kind.memory_format)

    def forward(_: object = None) -> Tensor:
        with torch.set_grad_enabled(passes != "forward"):
            return mix(images, draw, MEAN, STD, kind.result, memory_format=kind.memory_format)

    def backward(result: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(result, (draw.levels, draw.gates), upstream, retain_graph=True)

    if passes == "backward":
        return forward, backward
    return lambda: None, forward if passes == "forward" else lambda _: backward(forward())
