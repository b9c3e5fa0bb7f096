"""What the tests of the Triton kernels share: draws, images in every layout, and the comparison with the oracle."""

import os

import pytest
import torch
from torch import Tensor

from tests.kernels.images import noise
from tests.kernels.tolerances import ROUNDING, TRITON_FORWARD, TRITON_GRADIENT, TRITON_PIXEL
from tst_kernels import OPERATIONS, Draw, mix

MEAN, STD = (0.49, 0.48, 0.45), (0.2, 0.3, 0.25)
SIGNED = torch.tensor([operation.signed for operation in OPERATIONS.values()])
LAYOUTS = ("nhwc", "nchw", "packed", "gaps", "shared")

interpreted = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") != "1",
    reason="the kernels are compiled for the GPU here, where test_triton_cuda.py runs the same table",
)
on_cuda = pytest.mark.skipif(
    not torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1", reason="needs a GPU"
)


def code(name: str) -> int:
    return OPERATIONS[name].code


def draw_of(codes: Tensor, shares: Tensor, gates: Tensor, seed: int = 0) -> Draw:
    """A draw whose levels are at `shares`, 0..1, of their range.

    Levels are whole multiples of 2^-12, so that Solarize's threshold is the same number in any precision.
    """
    shares = (shares * 2**12).round() / 2**12
    levels = torch.where(SIGNED[codes], 2 * shares - 1, shares)
    centres = torch.rand(codes.shape[0], 2, generator=torch.Generator().manual_seed(seed))
    return Draw(codes.int(), levels, gates, centres)


def random_draw(batch: int, slots: int, seed: int = 0) -> Draw:
    """Operations with repetition; of the gates, some are exactly 0 and some exactly 1."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, len(OPERATIONS), (batch, slots), generator=generator)
    gates = (1.4 * torch.rand(batch, slots, generator=generator) - 0.2).clamp(0, 1)
    return draw_of(codes, 0.02 + 0.96 * torch.rand(batch, slots, generator=generator), gates, seed)


def every_operation(height: int) -> Draw:
    """One slot: each operation at the lowest and highest level and between, gate 1 (and 0.6 between).

    A rotation by 30 degrees reads the middle column of an odd image exactly at pixel centres, where bilinear
    interpolation has two derivatives: there the ends are missed by 2^-12.
    """
    end = 2**-12 if height % 2 and height > 1 else 0.0
    codes = torch.arange(len(OPERATIONS)).repeat(3)[:, None]
    shares = torch.tensor([end, 0.63, 1 - end]).repeat_interleave(len(OPERATIONS))[:, None]
    gates = torch.tensor([1.0, 0.6, 1.0]).repeat_interleave(len(OPERATIONS))[:, None]
    return draw_of(codes, shares, gates)


def in_layout(layout: str, batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    """The same uint8 noise in one of LAYOUTS."""
    nhwc = noise(1 if layout == "shared" else batch, height, width, 3, seed=seed)
    nchw = nhwc.permute(0, 3, 1, 2)
    match layout:
        case "nhwc":
            return nhwc
        case "nchw":
            return nchw.contiguous()
        case "packed":
            return torch.cat([nhwc, noise(batch, height, width, 1, seed=seed + 1)], dim=3)
        case "gaps":
            return torch.zeros(batch, 3, height + 1, 2 * width, dtype=torch.uint8)[:, :, 1:, ::2].copy_(nchw)
        case _:
            return nchw.expand(batch, -1, -1, -1)


def floats(batch: int, channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    """float64 images within 0..1 whose 8-bit values are beyond doubt."""
    offsets = torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(seed)) - 0.5
    return (noise(batch, channels, height, width, seed=seed) + 0.6 * offsets).double().clamp(0.1, 254.9) / 255


def move(draw: Draw, device: str, dtype: torch.dtype = torch.float32) -> Draw:
    centres = None if draw.centres is None else draw.centres.to(device)
    levels, gates = (field.detach().clone().to(device, dtype).requires_grad_() for field in (draw.levels, draw.gates))
    return Draw(draw.operations.to(device), levels, gates, centres)


def assert_forward(result: Tensor, expected: Tensor, tolerance: float = TRITON_FORWARD) -> None:
    error = result.detach().cpu().double() - expected.detach()
    assert error.norm() <= tolerance * expected.norm(), f"{error.norm() / expected.norm():.2e} of the norm"
    largest = max(tolerance, TRITON_PIXEL) * expected.abs().max()
    assert error.abs().max() <= largest, f"a pixel is off by {error.abs().max():.2e}"


def assert_gradient(result: Tensor, expected: Tensor, tolerance: float = TRITON_GRADIENT) -> None:
    typical = expected.square().mean().sqrt().item()
    are_zero = typical < ROUNDING["float64"]  # such as of the saturation of grey images
    least = ROUNDING["float32"] if are_zero else tolerance * typical
    torch.testing.assert_close(result.cpu().double(), expected, rtol=tolerance, atol=least)


def assert_mix(device: str, images: Tensor, draw: Draw, tolerance: float = TRITON_FORWARD, channels: int = 3) -> None:
    """Forward and the gradients of levels and gates, against the reference in float64; images' too if floating."""
    normalisation = MEAN[:channels], STD[:channels]
    exact, fast = move(draw, "cpu", torch.float64), move(draw, device)
    oracle_images = images.double().detach().clone().requires_grad_() if images.is_floating_point() else images
    # `to` would lay out images that are expanded or have gaps afresh.
    fast_images = images.detach() if device == "cpu" else images.detach().to(device)
    fast_images.requires_grad_(images.is_floating_point())
    expected = mix(oracle_images, exact, *normalisation, dtype=torch.float64, backend="torch")
    result = mix(fast_images, fast, *normalisation, backend="triton")
    assert_forward(result, expected, tolerance)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(7))
    (expected * weight).sum().backward()
    (result * weight.to(device, result.dtype)).sum().backward()
    looseness = max(1.0, tolerance / TRITON_FORWARD) * TRITON_GRADIENT
    no_level = torch.zeros_like(exact.levels)  # the reference leaves levels that no operation uses out of its graph
    assert_gradient(fast.levels.grad, no_level if exact.levels.grad is None else exact.levels.grad, looseness)
    assert_gradient(fast.gates.grad, exact.gates.grad, looseness)
    if images.is_floating_point():
        assert_gradient(fast_images.grad, oracle_images.grad, looseness)
