"""Pictures of several sizes on one canvas, and the mix without its warps, on both backends."""

import pytest
import torch

from tests.kernels.images import noise
from tests.kernels.tolerances import FLOAT32
from tests.kernels.triton_cases import (
    MEAN,
    STD,
    assert_forward,
    assert_gradient,
    draw_of,
    floats,
    interpreted,
    move,
    random_draw,
)
from tst_kernels import OPERATIONS, Draw, Family, mix

BACKENDS = ["torch", pytest.param("triton", marks=interpreted)]
OTHERS = torch.tensor([operation.code for operation in OPERATIONS.values() if operation.family != Family.WARP])


def _draw() -> Draw:
    """An image for each operation that is no warp, with another one beside it."""
    codes = torch.stack([OTHERS, OTHERS.roll(3)], dim=1)
    shares = 0.1 + 0.8 * torch.rand(codes.shape, generator=torch.Generator().manual_seed(0))
    return draw_of(codes, shares, 0.3 + 0.7 * shares, seed=1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("is_float", [False, True])
def test_a_picture_is_mixed_as_if_it_were_alone(is_float, backend):
    """Its statistics, its border and its Cutout are its own; so are the gradients of what is inside."""
    draw = _draw()
    count = len(draw.levels)
    images = floats(count, 3, 18, 23) if is_float else noise(count, 18, 23, 3).permute(0, 3, 1, 2)
    dtype = torch.float64 if backend == "torch" else torch.float32
    sizes = torch.stack([torch.arange(count) % 7 + 12, 23 - torch.arange(count) % 5], dim=1)
    together, alone = move(draw, "cpu", dtype), move(draw, "cpu", torch.float64)
    canvas = (images.to(dtype) if is_float else images).clone().requires_grad_(is_float)
    mixed = mix(canvas, together, MEAN, STD, dtype, backend, geometry=False, sizes=sizes)
    whole = images.clone().requires_grad_(is_float)
    parts = []
    for image, (height, width) in enumerate(sizes.tolist()):
        row = slice(image, image + 1)
        one = Draw(draw.operations[row], alone.levels[row], alone.gates[row], draw.centres[row])
        part = mix(whole[row, :, :height, :width], one, MEAN, STD, torch.float64, "torch")
        parts.append((part, mixed[row, :, :height, :width]))
    for expected, result in parts:
        assert_forward(result, expected)
    sum(expected.square().sum() for expected, _ in parts).backward()
    sum(result.square().sum() for _, result in parts).backward()
    assert_gradient(together.levels.grad, alone.levels.grad)
    assert_gradient(together.gates.grad, alone.gates.grad)
    if is_float:
        assert_gradient(canvas.grad, whole.grad)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("is_float", [False, True])
def test_without_geometry_warps_are_not_there(is_float, backend):
    """As if they were not in the draw; their levels and gates get exactly nothing."""
    draw, images = random_draw(6, 5, seed=12), noise(6, 9, 11, 3).permute(0, 3, 1, 2)
    images = images / 255 if is_float else images
    is_warp = draw.operations < 5
    assert 5 < is_warp.sum() < 25
    left_out, absent = move(draw, "cpu"), move(draw, "cpu")
    gates = torch.where(is_warp, 0, absent.gates)
    results, of_images = [], []
    for given, geometry in ((left_out, False), (Draw(draw.operations, absent.levels, gates, draw.centres), True)):
        x = images.clone().requires_grad_(is_float)
        results.append(mix(x, given, MEAN, STD, backend=backend, geometry=geometry))
        results[-1].square().sum().backward()
        of_images.append(x.grad)
    torch.testing.assert_close(*results, atol=FLOAT32, rtol=FLOAT32)
    assert_gradient(left_out.levels.grad, absent.levels.grad.double())
    assert_gradient(left_out.gates.grad, absent.gates.grad.double())
    assert (left_out.levels.grad[is_warp] == 0).all() and (left_out.gates.grad[is_warp] == 0).all()
    if is_float:
        assert_gradient(of_images[0], of_images[1].double())


@interpreted
def test_a_warp_left_out_may_hold_anything(monkeypatch):
    """Not even what is not finite passes."""
    monkeypatch.setattr("tst_kernels.draw.are_values_known", lambda *_: False)
    codes = torch.tensor([[OPERATIONS["Rotate"].code, OPERATIONS["Invert"].code]])
    images, ones = noise(1, 4, 5, 3), torch.ones(1, 2)
    for backend in ("torch", "triton"):
        nan = ones.clone().fill_(float("nan"))
        result = mix(images, Draw(codes, nan, torch.tensor([[float("nan"), 1.0]])), backend=backend, geometry=False)
        torch.testing.assert_close(result, 1 - images.permute(0, 3, 1, 2) / 255)
