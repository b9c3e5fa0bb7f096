"""The mix as a whole, and the pitfalls that other implementations fell into, each a test."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from tests.kernels.images import noise, photographs
from tests.kernels.tolerances import FLOAT32, ROUNDING
from tst_kernels import OPERATIONS, Draw, apply, mix, normalise, warp

MEAN, STD = (0.49, 0.48, 0.45), (0.2, 0.3, 0.25)


def _random_draw(batch, slots, seed=0, shared=False):
    generator = torch.Generator().manual_seed(seed)
    rows = 1 if shared else batch
    codes = torch.rand(rows, len(OPERATIONS), generator=generator).argsort(1)[:, :slots].expand(batch, slots)
    signed = torch.tensor([operation.signed for operation in OPERATIONS.values()])[codes]
    levels = torch.rand(batch, slots, generator=generator)
    levels = torch.where(signed & (torch.rand(batch, slots, generator=generator) < 0.5), -levels, levels)
    gates, centres = torch.rand(batch, slots, generator=generator), torch.rand(batch, 2, generator=generator)
    return Draw(codes.int(), levels, gates, centres)


def _one_at_a_time(images, draw):
    """The additive formula spelled out, an image and an operation at a time, in float64."""
    names = list(OPERATIONS)
    x = images.permute(0, 3, 1, 2).double() / 255
    rows = []
    for image in range(len(x)):
        alone = total = x[image : image + 1]
        for slot, code in enumerate(draw.operations[image].tolist()):
            level = draw.levels[image, slot].item() if OPERATIONS[names[code]].has_level else None
            changed = apply(alone, names[code], level, draw.centres[image : image + 1])
            total = total + draw.gates[image, slot].double() * (changed - alone)
        rows.append(total)
    return torch.cat(rows)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("slots", [1, 4, 8])
def test_mix_is_the_sum_of_gated_changes(slots, shared):
    images = noise(6, 17, 19, 3)
    draw = _random_draw(6, slots, seed=slots, shared=shared)
    torch.testing.assert_close(mix(images, draw).double(), _one_at_a_time(images, draw), atol=FLOAT32, rtol=FLOAT32)


def test_mix_normalises_after_the_sum():
    images, draw = noise(3, 17, 19, 3), _random_draw(3, 4, seed=2)
    cutout = draw.operations == OPERATIONS["Cutout"].code
    assert not cutout.any(), "this draw must hold no Cutout, whose fill depends on the mean"
    expected = (mix(images, draw) - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(mix(images, draw, MEAN, STD), expected, atol=FLOAT32, rtol=FLOAT32)


def test_every_layout_and_stride_gives_the_same():
    nhwc, draw = noise(4, 17, 20, 3), _random_draw(4, 5, seed=7)
    expected = mix(nhwc, draw, MEAN, STD)
    nchw = nhwc.permute(0, 3, 1, 2).contiguous()
    padded = torch.zeros(4, 3, 17, 40, dtype=torch.uint8)[..., ::2].copy_(nchw)
    for images in (nchw, nchw.to(memory_format=torch.channels_last), padded, nhwc.flip(0).flip(0)):
        torch.testing.assert_close(mix(images, draw, MEAN, STD), expected, atol=0, rtol=0)
    floats = nchw.float() / 255
    for images in (floats, floats.to(memory_format=torch.channels_last)):
        torch.testing.assert_close(mix(images, draw, MEAN, STD), expected, atol=FLOAT32, rtol=FLOAT32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype):
    images, draw = noise(2, 8, 9, 3), _random_draw(2, 4)
    expected = mix(images, draw, dtype=torch.float64)
    assert mix(images, draw).dtype == torch.float32
    result = mix(images, draw, dtype=dtype)
    assert result.dtype == dtype
    tolerance = ROUNDING[str(dtype).removeprefix("torch.")]
    torch.testing.assert_close(result.double(), expected, atol=tolerance, rtol=tolerance)
    assert mix((expected.clamp(0, 1)).to(dtype), draw).dtype == dtype


def test_operations_are_pickled_by_name():
    again = pickle.loads(pickle.dumps(dict(OPERATIONS)))
    assert all(again[name] is operation for name, operation in OPERATIONS.items())


def test_one_channel():
    grey = noise(2, 9, 11, 1)
    for name, operation in OPERATIONS.items():
        level = 0.6 if operation.has_level else None
        alone, threefold = apply(grey, name, level), apply(grey.expand(-1, -1, -1, 3), name, level)
        assert alone.shape == (2, 1, 9, 11)
        torch.testing.assert_close(alone, threefold[:, :1], atol=FLOAT32, rtol=FLOAT32)


def test_gates_of_zero_and_the_sum_is_not_clamped():
    images = noise(2, 5, 6, 3)
    invert = torch.full((2, 2), OPERATIONS["Invert"].code)
    plain = images.permute(0, 3, 1, 2) / 255
    nothing = Draw(invert, torch.zeros(2, 2), torch.zeros(2, 2))
    torch.testing.assert_close(mix(images, nothing), plain)
    assert torch.equal(mix(images, nothing, MEAN, STD), normalise(images, MEAN, STD))
    twice = mix(images, Draw(invert, torch.zeros(2, 2), torch.ones(2, 2)))
    torch.testing.assert_close(twice, 2 - 3 * plain, atol=FLOAT32, rtol=FLOAT32)
    assert twice.min() < -0.5 and twice.max() > 1.5


def test_a_draw_replays_exactly():
    images, draw = photographs(), _random_draw(2, 6, seed=5)
    assert torch.equal(mix(images, draw), mix(images, draw))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # PyTorch's compiler reads it
@pytest.mark.parametrize("shared", [True, False])
def test_compiled_equals_eager(shared):
    images, draw = noise(4, 16, 18, 3), _random_draw(4, 8, seed=11, shared=shared)
    parameters = draw.levels.requires_grad_(), draw.gates.requires_grad_()
    eager, compiled = mix(images, draw), mix(images, draw, compile=True)
    torch.testing.assert_close(compiled, eager, atol=FLOAT32, rtol=FLOAT32)
    gradients = (torch.autograd.grad(result.square().mean(), parameters) for result in (compiled, eager))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=FLOAT32, rtol=1e-4)


def test_cutout_is_a_clipped_square_of_the_mean_colour():
    images, centres = noise(2, 20, 30, 3), torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    code = torch.full((2, 1), OPERATIONS["Cutout"].code)
    result = mix(images, Draw(code, torch.zeros(2, 1), torch.ones(2, 1), centres), mean=MEAN)
    expected = images.permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN).view(3, 1, 1)
    expected[0, :, 5:15, 10:20] = 0  # half of 20 around (10, 15)
    expected[1, :, :5, 25:] = 0  # around the top right corner
    torch.testing.assert_close(result, expected, atol=FLOAT32, rtol=0)


# The pitfalls that docs/design.md lists at its end.


def test_contrast_keeps_the_mean_and_brightness_multiplies():
    images = 0.25 + 0.25 * noise(2, 8, 8, 3).permute(0, 3, 1, 2) / 255
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    before = (images * weights).sum(1).mean((1, 2))
    after = (apply(images, "Contrast", -0.7) * weights).sum(1).mean((1, 2))
    torch.testing.assert_close(after, before)
    torch.testing.assert_close(apply(images, "Brightness", -0.5), 0.55 * images)


def test_contrast_uses_each_images_own_mean():
    dark, bright = torch.full((1, 3, 4, 4), 0.1), torch.full((1, 3, 4, 4), 0.9)
    both = torch.cat([dark, bright])
    torch.testing.assert_close(apply(both, "Contrast", -1.0), both)


def test_sharpness_keeps_the_border():
    images = noise(1, 9, 8, 3)
    result = apply(images, "Sharpness", -1.0)
    plain = images.permute(0, 3, 1, 2) / 255
    inner = torch.zeros(9, 8, dtype=torch.bool)
    inner[1:-1, 1:-1] = True
    torch.testing.assert_close(result[..., ~inner], plain[..., ~inner])
    assert (result[..., inner] - plain[..., inner]).abs().mean() > 0.05
    assert torch.equal(apply(images[:, :2], "Sharpness", -1.0), apply(images[:, :2], "Sharpness", 0.0))


def test_equalize_leaves_out_the_last_bin_that_is_not_empty():
    """800 pixels of 10, 700 of 20 and the rest 200: PIL's step is 1500 // 255 = 5, not (1500 + rest) // 255."""
    values = torch.cat([torch.full((800,), 10), torch.full((700,), 20), torch.full((4500,), 200)]).to(torch.uint8)
    result = apply(values.view(1, 60, 100, 1), "Equalize") * 255
    assert result.unique().round().tolist() == [0, 160, 255]  # (0 + 2) // 5, (800 + 2) // 5, then clamped


def test_posterize_does_something():
    values = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    assert len(apply(values, "Posterize", 1.0).unique()) == 16


def test_solarize_inverts_at_the_threshold_itself():
    values = torch.tensor([126, 127, 128], dtype=torch.uint8).view(1, 1, 3, 1)
    level = 1 - 127 / 255
    assert (apply(values, "Solarize", level) * 255).round().flatten().tolist() == [126, 128, 127]


@pytest.mark.parametrize("name", ["AutoContrast", "Equalize"])
def test_a_constant_channel_is_kept(name):
    images = noise(1, 6, 7, 3)
    images[..., 1] = 93
    torch.testing.assert_close(apply(images, name)[0, 1], torch.full((6, 7), 93 / 255))


def test_tone_operations_act_on_the_8_bit_value_of_float_images():
    image = noise(1, 7, 8, 3)
    for name in ("Posterize", "Solarize", "Equalize", "AutoContrast"):
        level = 0.5 if OPERATIONS[name].has_level else None
        floats = apply(image.permute(0, 3, 1, 2) / 255, name, level)
        torch.testing.assert_close(floats, apply(image, name, level), atol=FLOAT32, rtol=0)


def test_levels_differ_within_a_batch():
    images = photographs()
    result = apply(images, "Color", torch.tensor([-0.8, 0.4]))
    for row, level in enumerate((-0.8, 0.4)):
        expected = ImageEnhance.Color(Image.fromarray(images[row].numpy())).enhance(1 + 0.9 * level)
        expected = torch.from_numpy(np.array(expected)).permute(2, 0, 1) / 255
        torch.testing.assert_close((result[row] * 255 + 1e-3).floor() / 255, expected, atol=1.01 / 255, rtol=0)


def test_warp_label_maps_and_fill():
    labels = torch.arange(12, dtype=torch.int64).view(1, 3, 4) + 2**40
    shift_right_by_one = torch.tensor([[[1.0, 0, -2 / 4], [0, 1, 0]]])
    result = warp(labels, shift_right_by_one, "nearest", fill=255)
    assert result.dtype == torch.int64
    assert torch.equal(result[0, :, 1:], labels[0, :, :-1]) and (result[0, :, 0] == 255).all()
    image = torch.full((1, 1, 3, 4), 0.25)
    torch.testing.assert_close(
        warp(image, shift_right_by_one, fill=0.75)[0, 0, 0], torch.tensor([0.75, 0.25, 0.25, 0.25])
    )
