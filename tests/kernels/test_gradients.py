"""Gradients: by finite differences in float64 where they exist, by their stated stand-ins where they do not."""

import math

import pytest
import torch

from tst_kernels import OPERATIONS, Draw, apply, mix, warp

SMOOTH = [n for n, o in OPERATIONS.items() if o.has_level and n not in ("Posterize", "Solarize")]


def _image(batch=2, channels=3, height=7, width=9):
    """Away from 8-bit and clamping edges, where no gradient exists."""
    generator = torch.Generator().manual_seed(3)
    return 0.3 + 0.4 * torch.rand(batch, channels, height, width, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", SMOOTH)
def test_level_and_image(name, channels):
    image = _image(channels=channels).requires_grad_()
    level = torch.tensor([0.317, -0.223], dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda x, m: apply(x, name, m), (image, level))


@pytest.mark.parametrize("name", ["Invert", "Solarize", "Cutout"])
def test_image_of_operations_without_a_smooth_level(name):
    image = _image(batch=1).requires_grad_()
    level = 0.71 if OPERATIONS[name].has_level else None
    torch.autograd.gradcheck(lambda x: apply(x, name, level), (image,))


def test_gates_and_levels_of_a_mixture():
    names = [["Rotate", "Contrast", "Sharpness", "Color"], ["Equalize", "Contrast", "ShearX", "Contrast"]]
    codes = torch.tensor([[OPERATIONS[name].code for name in row] for row in names])
    levels = torch.tensor([[0.3, -0.6, 0.21, 0.5], [0.5, 0.4, -0.37, -0.2]], dtype=torch.float64, requires_grad=True)
    gates = torch.tensor([[0.9, 0.2, 0.5, 0.7], [0.1, 1.0, 0.6, 0.0]], dtype=torch.float64, requires_grad=True)
    image = _image()

    def function(levels, gates):
        return mix(image, Draw(codes, levels, gates), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))

    torch.autograd.gradcheck(function, (levels, gates))


def test_contrast_passes_through_the_mean():
    """In closed form: with factor f, d(sum of the results)/d(one pixel's red) = f + (1 - f) 0.299 * 3."""
    image = _image(batch=1).requires_grad_()
    apply(image, "Contrast", 0.5).sum().backward()
    factor = 1 + 0.9 * 0.5
    torch.testing.assert_close(image.grad[0, 0], torch.full((7, 9), factor + (1 - factor) * 0.299 * 3).double())


def test_clamped_values_pass_none():
    image = torch.tensor([0.9, 0.2], dtype=torch.float64).view(1, 1, 1, 2).requires_grad_()
    level = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    apply(image, "Brightness", level).sum().backward()  # 1.9 * 0.9 is clamped, 1.9 * 0.2 is not
    assert image.grad.flatten().tolist() == pytest.approx([0, 1.9])
    assert level.grad.item() == pytest.approx(0.9 * 0.2)


def test_the_bounds_themselves_pass_gradients():
    """White and black pixels that an operation leaves within 0..1: `torch.clamp` differs here between versions."""
    image = torch.tensor([0.0, 1.0, 0.5]).view(1, 1, 1, 3).requires_grad_()
    apply(image, "Invert").sum().backward()
    assert image.grad.flatten().tolist() == [-1, -1, -1]


def test_solarize_passes_a_sigmoids_derivative():
    """y = x + s (255 - 2 x) with s = sigmoid((x - t) / w), w = 0.05 * 255 and t = 255 (1 - level)."""
    values, level = [10, 100, 140, 250], 0.45
    image = torch.tensor(values, dtype=torch.uint8).view(1, 1, 1, 4)
    m = torch.tensor([level], dtype=torch.float64, requires_grad=True)
    apply_in_float64 = mix(image, Draw(_code("Solarize"), m[:, None], torch.ones(1, 1)), dtype=torch.float64)
    apply_in_float64.sum().backward()
    expected = 0.0
    for x in values:
        s = 1 / (1 + math.exp(-(x - 255 * (1 - level)) / (0.05 * 255)))
        expected += s * (1 - s) / (0.05 * 255) * 255 * (255 - 2 * x) / 255
    assert m.grad.item() == pytest.approx(expected, rel=1e-6)


def test_posterize_passes_the_straight_through_floor():
    """y = q floor(x / q) with q = 2^(4 level): dy/dq = floor(x/q) - x/q, dq/dlevel = 4 ln 2 q, and dy/dx = 1."""
    values, level = [10.0, 100.0, 141.0, 250.0], 0.5
    image = (torch.tensor(values, dtype=torch.float64).view(1, 1, 1, 4) / 255).requires_grad_()
    m = torch.tensor([level], dtype=torch.float64, requires_grad=True)
    apply(image, "Posterize", m).sum().backward()
    step = 2 ** round(4 * level)
    expected = sum((x // step - x / step) * 4 * math.log(2) * step / 255 for x in values)
    assert m.grad.item() == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(image.grad, torch.ones_like(image))


@pytest.mark.parametrize(("name", "image_value"), [("Posterize", 0.7), ("Solarize", 0.8), ("Brightness", 0.4)])
def test_more_level_has_more_effect(name, image_value):
    """A step up in level moves the result further from the image, and the gradient says so."""
    image = torch.full((1, 1, 4, 4), image_value, dtype=torch.float64)
    level = torch.tensor([0.6], dtype=torch.float64, requires_grad=True)
    (apply(image, name, level) - image).abs().sum().backward()
    assert level.grad.item() > 0


@pytest.mark.parametrize("name", ["Invert", "Equalize", "AutoContrast", "Cutout"])
def test_gate_of_operations_without_a_level(name):
    """d(mix)/d(gate) is T(x) - x, and their level gets exactly nothing."""
    image = _image()
    level = torch.zeros(2, 1, dtype=torch.float64, requires_grad=True)
    gate = torch.full((2, 1), 0.4, dtype=torch.float64, requires_grad=True)
    result = mix(image, Draw(_code(name).expand(2, 1), level, gate))
    of_level, of_gate = torch.autograd.grad(result.sum(), (level, gate), materialize_grads=True)
    change = (apply(image, name) - image).detach().sum(dim=(1, 2, 3))
    torch.testing.assert_close(of_gate[:, 0], change)
    assert of_level.abs().max() == 0


def test_warp_in_theta_and_images():
    theta = torch.tensor([[[0.9, 0.13, 0.07], [-0.11, 1.05, -0.03]]], dtype=torch.float64, requires_grad=True)
    image = _image(batch=1).requires_grad_()
    torch.autograd.gradcheck(lambda x, t: warp(x, t, fill=0.4), (image, theta))


def _code(name):
    return torch.tensor([[OPERATIONS[name].code]])
