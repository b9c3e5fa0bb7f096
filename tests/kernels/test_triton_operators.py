"""The operators' registration: schema, fake tensors, autograd, `torch.compile`, autocast."""

import pytest
import torch
import triton
import triton.language as tl

from tests.kernels.tolerances import FLOAT32
from tests.kernels.triton_cases import MEAN, STD, floats, in_layout, interpreted, move, random_draw
from tst_kernels import Draw, apply, mix, warp
from tst_kernels.fused import launch, pixels

pytestmark = [interpreted, pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")]  # opcheck's own

CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")


@pytest.mark.parametrize("kind", ["8-bit", "float", "channels_last"])
def test_mix_passes_opcheck(kind):
    draw = random_draw(2, 3, seed=1)
    packed = in_layout("packed", 2, 6, 7)
    images = packed[..., :3].permute(0, 3, 1, 2) if kind == "8-bit" else floats(2, 3, 6, 7).float()
    if kind == "channels_last":
        images = images.to(memory_format=torch.channels_last)
    images.requires_grad_(images.is_floating_point())
    moved = move(draw, "cpu")
    fields = (moved.operations, moved.levels, moved.gates, moved.centres)
    rest = (None, None, [1 / 255] * 3 + [0.0] * 6, torch.float32, kind == "channels_last", True)
    operator = torch.ops.fused_augmentation.mix.default
    torch.library.opcheck(operator, (images, *fields, *rest), test_utils=CHECKS)


@pytest.mark.parametrize("bilinear", [True, False])
def test_warp_passes_opcheck(bilinear):
    theta = torch.tensor([[[0.9, 0.13, 0.07], [-0.11, 1.05, -0.03]]], requires_grad=bilinear)
    images = torch.rand(1, 2, 5, 6, requires_grad=True)
    torch.library.opcheck(torch.ops.fused_augmentation.warp.default, (images, theta, bilinear, 0.25), test_utils=CHECKS)


class _Augment(torch.nn.Module):
    """Levels and gates as a policy makes them, and the mix, all in one graph."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = torch.nn.Parameter(torch.tensor([0.3, -0.2, 0.6]))

    def forward(self, images, operations):
        levels = torch.sigmoid(self.theta).expand(images.shape[0], -1)
        draw = Draw(operations, levels, levels.square())
        return mix(images, draw, MEAN, STD, backend="triton").square().mean()


def test_compiles_without_a_graph_break():
    images, operations = in_layout("nhwc", 2, 6, 7), random_draw(2, 3, seed=2).operations
    results = []
    for compiled in (False, True):
        module = _Augment()
        loss = (torch.compile(module, fullgraph=True) if compiled else module)(images, operations)
        loss.backward()
        results.append((loss.detach(), module.theta.grad))
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, atol=FLOAT32, rtol=FLOAT32)


def test_apply_and_warp_compile():
    images = torch.rand(1, 3, 5, 6)
    theta = torch.tensor([[[0.9, 0.13, 0.07], [-0.11, 1.05, -0.03]]])

    def function(x, level, theta):
        return warp(apply(x, "Rotate", level, backend="triton"), theta, backend="triton")

    level = torch.tensor([0.5])
    compiled = torch.compile(function, fullgraph=True)
    torch.testing.assert_close(compiled(images, level, theta), function(images, level, theta))


def test_autocast_leaves_float32():
    images, draw = in_layout("nhwc", 2, 6, 7), move(random_draw(2, 3, seed=3), "cpu")
    expected = mix(images, draw, backend="triton")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = mix(images, draw, backend="triton")
    assert result.dtype == torch.float32
    assert torch.equal(result, expected)


def test_half_precision_levels_get_gradients_of_their_own_dtype():
    draw = move(random_draw(2, 3, seed=3), "cpu", torch.bfloat16)
    mix(in_layout("nhwc", 2, 6, 7), draw, backend="triton").sum().backward()
    assert draw.levels.grad.dtype == draw.gates.grad.dtype == torch.bfloat16


@triton.jit
def _offset_of_image(images, number, result):
    start = pixels.start_of(images, tl.load(number))
    tl.store(result, start.to(tl.int64) - images.pointer.to(tl.int64))


@pytest.mark.parametrize("stride", [3 * 224 * 224, 2**31 - 1, 2**33])
def test_offsets_of_images_are_64_bit(stride):
    """By arithmetic alone: image 65,535 of a batch begins beyond 2^31 elements."""
    element = torch.zeros(1, dtype=torch.float32)
    images = pixels.Images(element, stride, pixels.Layout(1, 1, 1, 1, 1))
    number, result = torch.tensor([65_535], dtype=torch.int32), torch.zeros(1, dtype=torch.int64)
    _offset_of_image[(1,)](images, number, result)
    assert result.item() == 65_535 * stride * element.element_size()


def test_images_beyond_32_bits_are_refused():
    """Also where only the indices of the last tile would be: they turned negative, and were taken for inside."""

    def grey(width):
        return torch.empty(1, device="meta").expand(1, 1, 2, width)

    tile = launch._STATISTICS_BLOCK
    assert launch._image(grey(2**30 - 2**13)).layout.width * 2 + tile < 2**31
    for huge in (torch.empty(1, device="meta").expand(1, 3, 2**16, 2**15), grey(2**30 - 100)):
        with pytest.raises(ValueError, match=r"below 2\^31"):
            launch._image(huge)
        with pytest.raises(ValueError, match=r"below 2\^31"):
            launch._planes(huge)


def test_packed_images_are_read_a_word_at_a_time():
    packed = in_layout("packed", 2, 5, 6)
    channels = packed[..., :3].permute(0, 3, 1, 2)
    assert launch._image(channels).pointer.dtype == torch.int32
    assert launch._image(packed[:, 1:, ..., :3].permute(0, 3, 1, 2)).pointer.dtype == torch.int32
    for other in (packed[..., 1:].permute(0, 3, 1, 2), channels.contiguous(), channels.flip(0)):
        assert launch._image(other).pointer.dtype == torch.uint8
