"""The table of cases that every device runs: each subclass names its device."""

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.kernels.images import noise
from tests.kernels.tolerances import NEAREST_TIES, TRITON_ROUNDING
from tests.kernels.triton_cases import (
    LAYOUTS,
    MEAN,
    STD,
    assert_forward,
    assert_gradient,
    assert_mix,
    code,
    draw_of,
    every_operation,
    floats,
    in_layout,
    move,
    random_draw,
)
from tst_kernels import OPERATIONS, Draw, apply, mix, warp
from tst_kernels.operations import Family, Scene, family_parameters

SIZES = [(1, 1), (17, 19), (32, 32)]


class MixTable:
    """`mix` and `apply` against the reference in float64."""

    device: str

    @pytest.mark.parametrize("size", SIZES)
    def test_every_operation_on_8_bit_images(self, size):
        draw = every_operation(size[0])
        assert_mix(self.device, in_layout("nhwc", len(draw.levels), *size), draw)

    @pytest.mark.parametrize(("size", "channels"), [*((size, 3) for size in SIZES), (SIZES[1], 1)])
    def test_every_operation_on_float_images(self, size, channels):
        draw = every_operation(size[0])
        assert_mix(self.device, floats(len(draw.levels), channels, *size).float(), draw, channels=channels)

    @pytest.mark.parametrize("slots", [1, 2, 3, 4, 5, 6, 7, 8])
    def test_mixtures(self, slots):
        assert_mix(self.device, in_layout("packed", 5, 23, 18), random_draw(5, slots, seed=slots))

    @pytest.mark.parametrize("batch", [1, 3])
    def test_mixtures_on_float_images(self, batch):
        assert_mix(self.device, floats(batch, 3, 21, 26).float(), random_draw(batch, 8, seed=batch))

    def test_large_images(self):
        """Several tiles and stripes an image."""
        codes = torch.tensor([[code(name) for name in row] for row in (
            ("Rotate", "Contrast", "Equalize", "Sharpness"), ("ShearX", "TranslateY", "AutoContrast", "Color"),
        )])  # fmt: skip
        draw = draw_of(codes, torch.full((2, 4), 0.83), torch.full((2, 4), 0.7))
        assert_mix(self.device, in_layout("nchw", 2, 144, 176), draw)
        assert_mix(self.device, floats(1, 3, 144, 176).float(), random_draw(1, 4, seed=3))

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_layouts(self, layout):
        assert_mix(self.device, in_layout(layout, 3, 17, 20), random_draw(3, 4, seed=5))

    def test_grey_images(self):
        assert_mix(self.device, noise(15, 14, 17, 1), every_operation_once(), channels=1)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
    @pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
    def test_results(self, dtype, memory_format):
        images, draw = in_layout("packed", 3, 17, 20), random_draw(3, 4, seed=6)
        result = mix(images.to(self.device), move(draw, self.device), MEAN, STD, dtype, "triton", False, memory_format)
        assert result.dtype == dtype and result.is_contiguous(memory_format=memory_format)
        expected = mix(images, draw, MEAN, STD, torch.float64, "torch", memory_format=memory_format)
        assert expected.is_contiguous(memory_format=memory_format)
        assert_forward(result, expected, TRITON_ROUNDING[str(dtype).removeprefix("torch.")])

    @pytest.mark.parametrize("name", ["Color", "Contrast", "Sharpness"])
    def test_white_that_is_kept_passes_gradients(self, name):
        """Rounded in float32, it may come out a little above 255."""
        level = torch.linspace(-1, 1, 64)[3::4]
        exact, fast = torch.ones(16, 3, 4, 4).double().requires_grad_(), torch.ones(16, 3, 4, 4, requires_grad=True)
        apply(exact, name, level.double(), backend="torch").sum().backward()
        apply(fast.to(self.device), name, level.to(self.device), backend="triton").sum().backward()
        torch.testing.assert_close(fast.grad, exact.grad.float(), atol=1e-4, rtol=0)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    @pytest.mark.parametrize(("size", "first"), [((17, 20), 0), ((17, 20), 1), ((7, 9), 0)])
    def test_gradients_in_channels_last(self, size, first, dtype):
        """Of an even number of pixels, of one that is not at the address of a word, and of an odd number."""
        images, draw = in_layout("nhwc", 3, *size), random_draw(3, 4, seed=6)
        weight = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(7)).to(dtype)
        exact, fast = move(draw, "cpu", torch.float64), move(draw, self.device)
        mix(images, exact, MEAN, STD, torch.float64, "torch").backward(weight.double())
        ours, upstream = (
            torch.empty(values.numel() + first, dtype=values.dtype, device=self.device)[first:]
            .view(3, *size, 3)
            .copy_(values)
            for values in (images, weight.permute(0, 2, 3, 1))
        )
        result = mix(ours, fast, MEAN, STD, dtype, "triton", memory_format=torch.channels_last)
        result.backward(upstream.permute(0, 3, 1, 2))
        assert_gradient(fast.levels.grad, exact.levels.grad)
        assert_gradient(fast.gates.grad, exact.gates.grad)

    @pytest.mark.parametrize("backend", ["torch", "triton"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
    @pytest.mark.parametrize("size", [(16, 20), (7, 9)])
    def test_results_written_to_half_a_batch(self, size, memory_format, dtype, backend):
        """The bits of a result of its own, and nothing beside it."""
        images, draw = in_layout("nhwc", 3, *size).to(self.device), move(random_draw(3, 4, seed=6), self.device)
        with torch.no_grad():
            expected = mix(images, draw, MEAN, STD, dtype, backend, memory_format=memory_format)
            whole = torch.full((6, 3, *size), 7.0, dtype=dtype, device=self.device).to(memory_format=memory_format)
            result = mix(images, draw, MEAN, STD, backend=backend, out=whole[3:])
        assert result.data_ptr() == whole[3:].data_ptr()
        assert torch.equal(whole[3:], expected)
        assert (whole[:3] == 7).all()

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_images_of_half_precision(self, dtype):
        tolerance = TRITON_ROUNDING[str(dtype).removeprefix("torch.")]
        images = floats(6, 3, 12, 15).to(dtype)
        assert_mix(self.device, images, random_draw(6, 3, seed=8), tolerance)
        assert_mix(self.device, images.to(memory_format=torch.channels_last), random_draw(6, 3, seed=9), tolerance)

    def test_same_operation_twice_and_an_expanded_gradient(self):
        images = in_layout("nchw", 2, 9, 12)
        draw = draw_of(torch.full((2, 2), code("Color")), torch.full((2, 2), 0.8), torch.tensor([[1.0, 0.0]] * 2))
        exact, fast = move(draw, "cpu", torch.float64), move(draw, self.device)
        mix(images, exact, dtype=torch.float64, backend="torch").sum().backward()
        mix(images.to(self.device), fast, backend="triton").sum().backward()
        assert_gradient(fast.levels.grad, exact.levels.grad)
        assert_gradient(fast.gates.grad, exact.gates.grad)
        assert (fast.levels.grad[:, 1] == 0).all()

    def test_mean_and_std_on_the_device(self):
        images, draw = in_layout("nhwc", 2, 8, 9).to(self.device), move(random_draw(2, 2), self.device)
        expected = mix(images, draw, MEAN, STD, backend="triton")
        mean, std = (torch.tensor(values, device=self.device) for values in (MEAN, STD))
        torch.testing.assert_close(mix(images, draw, mean, std, backend="triton"), expected)

    def test_the_same_bits_on_every_run(self):
        images = floats(2, 3, 40, 50).float().to(self.device)
        runs = []
        for _ in range(2):
            x, draw = images.clone().requires_grad_(), move(random_draw(2, 6, seed=4), self.device)
            result = mix(x, draw, backend="triton")
            result.square().sum().backward()
            runs.append((result.detach(), x.grad, draw.levels.grad, draw.gates.grad))
        assert all(torch.equal(first, second) for first, second in zip(*runs, strict=True))

    def test_composed_in_sequence(self):
        """Gradients flow from one call through the next."""
        images = floats(2, 3, 12, 14)
        gradients = []
        for device, backend, dtype in (("cpu", "torch", torch.float64), (self.device, "triton", torch.float32)):
            levels = torch.tensor([0.4, -0.3], device=device, dtype=dtype, requires_grad=True)
            once = apply(images.to(device, dtype), "Rotate", levels, backend=backend)
            apply(once, "Contrast", levels, backend=backend).square().sum().backward()
            gradients.append(levels.grad)
        assert_gradient(gradients[1], gradients[0])

    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],  # shrinking would take minutes in the interpreter
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.tuples(*[st.integers(1, 3), st.integers(1, 24), st.integers(1, 24), st.integers(1, 8)]),
        st.sampled_from(["float", "grey", *LAYOUTS]),
        st.integers(0, 1000),
    )
    def test_any_draw_of_any_shape(self, shape, layout, seed):
        batch, height, width, slots = shape
        if layout in ("float", "grey"):
            images = floats(batch, 1 if layout == "grey" else 3, height, width, seed).float()
        elif layout == "packed" and height in (1, 3):
            return  # read as [B, C, H, W]
        else:
            images = in_layout(layout, batch, height, width, seed)
            if images.shape[-1] == 3 and layout != "nhwc":
                return  # read as [B, H, W, 3]
        assert_mix(self.device, images, random_draw(batch, slots, seed), channels=1 if layout == "grey" else 3)


def every_operation_once() -> Draw:
    codes = torch.arange(len(OPERATIONS))[:, None]
    return draw_of(codes, torch.full_like(codes, 0.7, dtype=torch.float32), torch.full(codes.shape, 0.8))


def _maps_in_pixels(rows, draw, height, width):
    """Rows of `family_parameters`, with those of warps turned from `affine_grid`'s coordinates to pixels."""
    factors = torch.tensor([1, width / height, width / 2, height / width, 1, height / 2], dtype=torch.float64)
    middles = torch.tensor([0, 0, (width - 1) / 2, 0, 0, (height - 1) / 2], dtype=torch.float64)
    names = list(OPERATIONS)
    warps = [[[OPERATIONS[names[number]].family == Family.WARP] for number in row] for row in draw.operations.tolist()]
    return torch.where(torch.tensor(warps), rows * factors + middles, rows)


class ParametersTable:
    """The kernel of the parameters against `family_parameters`, whose rows it must reproduce."""

    device: str

    @pytest.mark.parametrize(("height", "width"), [(17, 31), (1, 1), (224, 160)])
    def test_parameters_and_their_gradients(self, height, width):
        from tst_kernels.fused import launch

        draw = every_operation(height)
        images = floats(len(draw.levels), 1, height, width).float().to(self.device)
        on_device = move(draw, self.device)
        fields = (on_device.operations, on_device.levels.detach(), on_device.gates.detach(), on_device.centres)
        shape = height, width, self.device
        source = launch._image(images)
        rows, kinds, mean_grey, _ = launch.prepare(source, fields, images.device, shape)
        levels = draw.levels.double().requires_grad_()
        grey = mean_grey.cpu().double()[:, None].requires_grad_()
        sides = (torch.full((len(levels), 1), side, dtype=torch.float64) for side in (height, width))
        scene = Scene(*sides, grey, draw.centres.double().unsqueeze(1))
        expected = _maps_in_pixels(family_parameters(draw.operations, levels, scene), draw, height, width)
        torch.testing.assert_close(rows[..., :6].cpu().double(), expected.detach(), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(rows[..., 6].cpu(), draw.gates)
        families = [list(OPERATIONS.values())[number].family for number in draw.operations.flatten().tolist()]
        assert kinds.flatten().tolist() == families
        of_images = 255 * images.mean((1, 2, 3)).cpu()
        needs = (draw.operations == code("Contrast"))[:, 0]
        torch.testing.assert_close(mean_grey.cpu(), torch.where(needs, of_images, 0), rtol=1e-5, atol=0)

        upstream = torch.randn(expected.shape, dtype=torch.float64)
        expected.backward(upstream)
        partials = torch.zeros(len(draw.levels), 1, 2, 8, device=self.device)  # two stripes, to be added
        partials[..., 0, :6], partials[..., 1, :6] = (upstream * part for part in (0.25, 0.75))
        of_levels, _, of_grey = launch.slot_gradients(fields[:2], mean_grey, partials, source, None, shape)
        torch.testing.assert_close(of_levels.cpu().double(), levels.grad, rtol=1e-5, atol=1e-4)
        of_mean = of_grey.cpu().double() * (height * width)
        torch.testing.assert_close(of_mean, grey.grad.flatten(), rtol=1e-5, atol=1e-5)

    def test_unknown_codes_do_nothing(self):
        """A draw on a GPU is not looked at, so a bad code must do no harm."""
        from tst_kernels import operators

        images = in_layout("nhwc", 1, 5, 6).permute(0, 3, 1, 2).to(self.device)
        codes = torch.tensor([[15, -1, 1000]], dtype=torch.int32, device=self.device)
        ones = torch.ones(1, 3, device=self.device)
        constants = [1 / 255] * 3 + [0.0] * 6
        result = operators.mix(images, codes, ones, ones, *[None] * 3, constants, torch.float32, False, True)[0]
        torch.testing.assert_close(result, images / 255)


THETAS = {
    "mild": [[0.9, 0.13, 0.07], [-0.11, 1.05, -0.03]],
    "zoom in": [[0.31, 0.05, 0.2], [-0.04, 0.27, -0.3]],
    "zoom out": [[2.3, 0.4, 0.1], [-0.7, 3.1, 0.2]],
    "mirror": [[-0.97, 0.013, 0.0], [0.021, 0.97, 0.0]],
    "singular": [[0.5, 0.25, 0.1], [1.0, 0.5, -0.2]],
    "a point": [[0.0, 0.0, 0.07], [0.0, 0.0, -0.04]],
    "far away": [[1.0, 0.0, 7.1], [0.0, 1.0, 1e12]],
}


class WarpTable:
    """`warp` against the reference in float64."""

    device: str

    @pytest.mark.parametrize("name", THETAS)
    @pytest.mark.parametrize("shape", [(2, 2, 13, 18), (1, 1, 1, 1), (2, 1, 30, 7)])
    def test_bilinear(self, name, shape):
        images = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        theta = torch.tensor([THETAS[name]] * shape[0], dtype=torch.float64)
        pairs = []
        for device, backend, dtype in (("cpu", "torch", torch.float64), (self.device, "triton", torch.float32)):
            x, t = (value.clone().to(device, dtype).requires_grad_() for value in (images, theta))
            result = warp(x, t, fill=0.4, backend=backend)
            weight = torch.randn(shape, generator=torch.Generator().manual_seed(2)).to(device, dtype)
            (result * weight).sum().backward()
            pairs.append((result.detach(), x.grad, t.grad))
        assert_forward(pairs[1][0], pairs[0][0], 1e-4)
        assert_gradient(pairs[1][1], pairs[0][1], 1e-3)
        if name != "far away":
            assert_gradient(pairs[1][2], pairs[0][2], 1e-3)

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int64, torch.int16, torch.float16, torch.float64])
    def test_nearest_keeps_every_dtype(self, dtype):
        labels = noise(2, 3, 40, 50).to(dtype)
        theta = torch.tensor([THETAS["mild"], THETAS["zoom out"]])
        expected = warp(labels, theta, "nearest", fill=1, backend="torch")
        result = warp(labels.to(self.device), theta.to(self.device), "nearest", fill=1, backend="triton").cpu()
        assert result.dtype == dtype
        assert (result != expected).float().mean() < NEAREST_TIES

    @pytest.mark.parametrize(
        ("dtype", "fill"),
        [(torch.uint8, 255), (torch.int32, 2**24 + 1), (torch.int64, -(2**62) - 1), (torch.float64, 0.1)],
    )
    def test_nearest_keeps_its_fill_exactly(self, dtype, fill):
        far = torch.tensor([[[1.0, 0, 9], [0, 1, 0]]], device=self.device)
        for backend in ("torch", "triton"):
            result = warp(torch.ones(1, 4, 5, dtype=dtype, device=self.device), far, "nearest", fill, backend)
            assert (result == torch.tensor(fill, dtype=dtype)).all()

    def test_label_maps_beyond_32_bits_and_any_strides(self):
        labels = (torch.arange(60, dtype=torch.int64).view(1, 6, 10) + 2**40).transpose(1, 2)
        theta = torch.tensor([[[1.0, 0, -2 / 6], [0, 1, 0]]])
        result = warp(labels.to(self.device), theta.to(self.device), "nearest", fill=255, backend="triton")
        assert torch.equal(result.cpu(), warp(labels, theta, "nearest", fill=255, backend="torch"))

    def test_nearest_passes_gradients_to_images(self):
        images = torch.rand(1, 2, 12, 9)
        theta = torch.tensor([THETAS["zoom in"]])
        gradients = []
        for device, backend in (("cpu", "torch"), (self.device, "triton")):
            x = images.clone().to(device).requires_grad_()
            (warp(x, theta.to(device), "nearest", backend=backend) * torch.arange(9, device=device)).sum().backward()
            gradients.append(x.grad.cpu())
        torch.testing.assert_close(gradients[1], gradients[0])
