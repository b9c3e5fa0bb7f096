"""The geometry of a draw: against PIL and torchvision, each warp and several in a row, and boxes against masks."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as vision
from PIL import Image
from torchvision import tv_tensors

from tests.kernels.images import noise, photographs
from tests.kernels.tolerances import EIGHT_BIT, FLOAT32, NEAREST_TIES
from tests.kernels.tolerances import WARP as WARP_TOLERANCE
from tst_kernels import OPERATIONS, Draw, apply, box_mask, compose, erased, invert, warp, warp_boxes

CANVAS = (40, 56)
SIZES = torch.tensor([[40, 56], [31, 45], [24, 56]])
WARPS = ["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"]


def _draw(*rows, dtype=torch.float32, centres=None):
    """One row of (name, level, gate) for each image."""
    codes = torch.tensor([[OPERATIONS[name].code for name, _, _ in row] for row in rows])
    levels, gates = (torch.tensor([[slot[i] for slot in row] for row in rows], dtype=dtype) for i in (1, 2))
    return Draw(codes, levels, gates, centres)


def _random_warps(batch, slots=3, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, len(WARPS), (batch, slots), generator=generator)
    levels = 1.6 * torch.rand(batch, slots, generator=generator, dtype=dtype) - 0.8
    return Draw(codes, levels, torch.rand(batch, slots, generator=generator, dtype=dtype).round())


@pytest.mark.parametrize("name", WARPS)
def test_one_warp_is_apply_of_it(name):
    """A gate is a factor of the level, and what is no warp is left out."""
    images = photographs().permute(0, 3, 1, 2) / 255
    theta = compose(_draw([(name, 0.7, 1.0), ("Invert", 0, 1.0)], [("Color", 0.9, 1.0), (name, -0.8, 0.5)]), 96, 128)
    expected = apply(images, name, torch.tensor([0.7, -0.4]))
    torch.testing.assert_close(warp(images, theta), expected, atol=FLOAT32, rtol=0)


def _smooth_photographs():
    """So smooth that one resampling is nearly two: rounding to 8 bits and bilinear blur are left."""
    x = F.avg_pool2d(photographs().permute(0, 3, 1, 2).float(), 9, 1, 4, count_include_pad=False)
    return x.round().to(torch.uint8)


MATRICES = {"ShearX": (1, 0.27, 0, 0, 1, 0), "TranslateY": (1, 0, 0, 0, 1, 150 / 331 * 0.2 * 96)}
LEVELS = {"Rotate": 0.8, "ShearX": 0.9, "TranslateY": -0.2}


def _by_pil(image, names):
    """uint8 [C, H, W] under warps at LEVELS, one after the other."""
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    for name in names:
        if name == "Rotate":
            picture = picture.rotate(24, Image.Resampling.BILINEAR)
        else:
            picture = picture.transform(picture.size, Image.AFFINE, MATRICES[name], Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


@pytest.mark.parametrize("names", [("Rotate", "ShearX"), ("ShearX", "Rotate"), ("TranslateY", "Rotate")])
def test_several_warps_are_one_after_the_other(names):
    images = _smooth_photographs()
    expected = torch.stack([_by_pil(image, names) for image in images])
    inside = _by_pil(torch.full_like(images[0], 255), names)[0] == 255  # and never left the picture on the way
    inside = F.max_pool2d(-inside[None].float(), 3, 1, 1)[0] == -1
    assert inside.float().mean() > 0.4
    theta, reversed_theta = (
        compose(_draw(*[[(name, LEVELS[name], 1.0) for name in order]] * 2), 96, 128) for order in (names, names[::-1])
    )
    error = (warp(images / 255, theta) - expected / 255).abs()[..., inside]
    assert error.mean() < 1.5 * EIGHT_BIT and error.max() < 6 * EIGHT_BIT
    assert (warp(images / 255, reversed_theta) - expected / 255).abs()[..., inside].mean() > 4 * EIGHT_BIT


def test_a_fill_of_any_size_leaves_the_inside_as_it_is():
    images, theta = torch.rand(4, 3, 16, 20), compose(_random_warps(4, seed=8), 16, 20)
    expected, fill = warp(images, theta, backend="torch"), -1e9
    beyond = 1 - warp(torch.ones_like(images), theta, backend="torch")
    found = warp(images, theta, fill=fill, backend="torch")
    inside, outside = beyond.abs() < 1e-6, beyond == 1
    assert inside.any() and outside.any()
    assert torch.equal(found[inside], expected[inside]) and (found[outside] == fill).all()


def test_a_rotation_is_one_in_pixels():
    height, width = 512, 1024
    theta = compose(_draw([("Rotate", 1.0, 1.0)]), height, width)[0]
    pixels = torch.tensor([[1, width / height], [height / width, 1]]) * theta[:, :2]
    cosine, sine = math.cos(math.radians(30)), math.sin(math.radians(30))
    torch.testing.assert_close(pixels, torch.tensor([[cosine, -sine], [sine, cosine]]))


def test_a_picture_moves_as_if_it_were_alone():
    """At the top left of a canvas, about its own centre and by its own sides."""
    draw = _random_warps(3, seed=2)
    images = noise(3, *CANVAS, 3).permute(0, 3, 1, 2) / 255
    images *= box_mask(F.pad(SIZES.flip(1).float(), (2, 0)), *CANVAS)[:, None]
    moved = warp(images, compose(draw, *CANVAS, SIZES))
    for image, (height, width) in enumerate(SIZES.tolist()):
        row = slice(image, image + 1)
        one = Draw(draw.operations[row], draw.levels[row], draw.gates[row])
        expected = warp(images[row, :, :height, :width], compose(one, height, width))
        torch.testing.assert_close(moved[row, :, :height, :width], expected, atol=WARP_TOLERANCE, rtol=0)


def test_label_maps_follow_as_torchvisions_masks_do():
    labels = noise(2, *CANVAS, 1)[..., 0] % 19
    theta = compose(_draw([("Rotate", 0.7, 1.0)], [("TranslateX", 0.4, 1.0)]), *CANVAS)
    shift = [150 / 331 * 0.4 * CANVAS[1], 0]
    expected = [
        vision.rotate(tv_tensors.Mask(labels[:1]), 21, fill=255),
        vision.affine(tv_tensors.Mask(labels[1:]), 0, shift, 1, [0, 0], fill=255),
    ]
    for dtype in (torch.uint8, torch.int64):
        moved = warp(labels.to(dtype), theta, "nearest", fill=255)
        assert moved.dtype == dtype and (moved == 255).any()
        assert (moved != torch.cat(expected).to(dtype)).float().mean() < NEAREST_TIES


def test_a_label_is_that_of_most_of_what_its_pixel_is_made_of():
    """Where bilinear sampling of the classes' masks gives one of them more than three quarters."""
    labels = (noise(2, 5, 7, 1)[..., 0] % 4).repeat_interleave(8, 1).repeat_interleave(8, 2)
    theta = compose(_random_warps(2, seed=6), *CANVAS)
    shares = warp(F.one_hot(labels.long(), 4).movedim(3, 1).float(), theta)
    most, winner = shares.max(1)
    sure = most > 0.75
    assert 0.3 < sure.float().mean() < 1
    assert torch.equal(warp(labels, theta, "nearest", fill=255)[sure], winner[sure].byte())


def test_inverse():
    theta = compose(_random_warps(5, seed=4, dtype=torch.float64), *CANVAS)
    bottom = torch.tensor([[0.0, 0, 1]], dtype=torch.float64).expand(5, 1, 3)
    square, inverse = (torch.cat([matrix, bottom], dim=1) for matrix in (theta, invert(theta)))
    torch.testing.assert_close(square @ inverse, torch.eye(3, dtype=torch.float64).expand(5, 3, 3))


def test_what_cutout_erased():
    centres = torch.tensor([[0.5, 0.5], [0.0, 0.9], [0.5, 0.5], [0.5, 0.5]])
    row = [("Invert", 0, 1.0), ("Cutout", 0, 0.5)]
    draw = _draw(row, row, [("Invert", 0, 1.0), ("Cutout", 0, 0.49)], [("Invert", 0, 1.0)] * 2, centres=centres)
    sizes = torch.tensor([[40, 56], [24, 56], [40, 56], [40, 56]])
    boxes = erased(draw, *CANVAS, sizes)
    # Squares of side 20 and 12, cut at the border of the picture.
    torch.testing.assert_close(boxes, torch.tensor([[18.0, 10, 38, 30], [44.4, 0, 56, 6], [0] * 4, [0] * 4]))
    images = noise(4, *CANVAS, 3).float().permute(0, 3, 1, 2) / 255
    changed = (apply(images[:1], "Cutout", centres=centres[:1]) - images[:1]).abs() > FLOAT32
    assert torch.equal(changed.any(1), box_mask(boxes[:1], *CANVAS))
    assert not box_mask(boxes[2:], *CANVAS).any()
    torch.testing.assert_close(erased(draw, *CANVAS)[1], torch.tensor([40.4, 0, 56, 10]))


def _boxes(batch=3, count=30, seed=0, dtype=torch.float64):
    """Within pictures of SIZES, at whole quarters of a pixel."""
    generator = torch.Generator().manual_seed(seed)
    side = SIZES.flip(1).to(dtype)[:batch, None]
    first, second = (torch.rand(batch, count, 2, generator=generator, dtype=dtype) * side for _ in range(2))
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    return (torch.cat([low, (low + 1).maximum(high).minimum(side)], dim=2) * 4).round() / 4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_hull_is_that_of_the_warped_mask(seed):
    """Each box as a mask at four times the resolution, warped, and cut at the border of the picture."""
    boxes, theta = _boxes(seed=seed), compose(_random_warps(3, seed=seed, dtype=torch.float64), *CANVAS, SIZES)
    moved, share = warp_boxes(boxes, theta, SIZES, *CANVAS, rule="hull")
    fine = [4 * side for side in CANVAS]
    compared = 0
    for image, (height, width) in enumerate(SIZES.tolist()):
        masks = box_mask(4 * boxes[image], *fine)[:, None].to(torch.uint8)
        seen = warp(masks, theta[image].expand(len(masks), 2, 3), "nearest")[:, 0, : 4 * height, : 4 * width]
        for mask, box, part, original in zip(seen, moved[image], share[image], boxes[image], strict=True):
            area = (original[2:] - original[:2]).prod().item()
            assert mask.sum().item() / 16 == pytest.approx(part.item() * area, abs=0.3 + 0.02 * area)
            if mask.sum() < 64:  # of a sliver the mask shows too little
                continue
            rows, columns = mask.nonzero().T
            ends = [columns.min() / 4, rows.min() / 4, (columns.max() + 1) / 4, (rows.max() + 1) / 4]
            torch.testing.assert_close(box, torch.stack(ends).to(box), atol=0.26, rtol=0)
            compared += 1
    assert compared > 40


def test_without_clipping_a_hull_is_torchvisions():
    boxes = torch.tensor([[[20.0, 15, 30, 22], [25, 12, 28, 28]]], dtype=torch.float64)
    theta = compose(_draw([("Rotate", 0.6, 1.0)], dtype=torch.float64), *CANVAS)
    given = tv_tensors.BoundingBoxes(boxes[0], format="XYXY", canvas_size=CANVAS)
    expected = vision.rotate(given, 18)
    moved, share = warp_boxes(boxes, theta, None, *CANVAS, rule="hull")
    torch.testing.assert_close(moved[0], torch.as_tensor(expected), atol=1e-4, rtol=0)
    torch.testing.assert_close(share, torch.ones_like(share))


def test_an_ellipse_is_the_extent_of_the_inscribed_one():
    """By 10,000 points of it, cut at the border as its box is."""
    boxes, theta = _boxes(), compose(_random_warps(3, seed=5, dtype=torch.float64), *CANVAS)
    hull, _ = warp_boxes(boxes, theta, None, *CANVAS, rule="hull")
    moved, share = warp_boxes(boxes, theta, None, *CANVAS)
    angle = torch.linspace(0, 2 * math.pi, 10_000, dtype=torch.float64)
    ring = torch.stack([angle.cos(), angle.sin()], dim=-1) / 2
    side = torch.tensor(CANVAS[::-1], dtype=torch.float64)
    points = (boxes[:, :, None, :2] + boxes[:, :, None, 2:]) / 2 + ring * (
        boxes[:, :, None, 2:] - boxes[:, :, None, :2]
    )
    forward = torch.linalg.inv(torch.cat([theta, theta.new_tensor([[0, 0, 1]]).expand(3, 1, 3)], dim=1))
    ends = F.pad(points / side * 2 - 1, (0, 1), value=1) @ forward.mT[:, None]
    ends = (ends[..., :2] + 1) / 2 * side
    expected = torch.cat([ends.amin(2).maximum(hull[..., :2]), ends.amax(2).minimum(hull[..., 2:])], dim=-1)
    whole = (share > 0) & (expected[..., :2] < expected[..., 2:]).all(-1)
    assert whole.sum() > 40
    torch.testing.assert_close(moved[whole], expected[whole], atol=1e-4, rtol=0)


def test_boxes_that_leave_and_boxes_without_area():
    theta = compose(_draw([("TranslateX", 1.0, 1.0)], dtype=torch.float64), *CANVAS).requires_grad_()
    shift = 150 / 331 * CANVAS[1]
    boxes = torch.tensor([[[40.0, 5, 50, 9], [0, 0, 0, 0], [10, 5, 50, 9], [0, 0, 56, 40]]], dtype=torch.float64)
    for rule in ("hull", "ellipse"):
        moved, share = warp_boxes(boxes, theta, None, *CANVAS, rule=rule)
        torch.testing.assert_close(share[0], theta.new_tensor([0, 0, (46 - shift) / 40, (56 - shift) / 56]))
        assert (moved[0, :2] == 0).all()
        torch.testing.assert_close(moved[0, 2:], theta.new_tensor([[10 + shift, 5, 56, 9], [shift, 0, 56, 40]]))
        (gradient,) = torch.autograd.grad(moved.sum() + share.sum(), theta)
        assert gradient.isfinite().all()
    nothing, share = warp_boxes(boxes[:, :0], theta, None, *CANVAS)
    assert nothing.shape == (1, 0, 4) and share.shape == (1, 0)


@pytest.mark.parametrize("sizes", [None, torch.tensor([[7, 9], [5, 6]])])
def test_gradients(sizes):
    """By finite differences, of levels and gates, in boxes and in a warped image; boxes reach over the border."""
    draw = _draw(
        [("Rotate", 0.3, 0.7), ("Color", 0.2, 0.9), ("ShearX", -0.4, 0.6)],
        [("TranslateY", 0.31, 0.8), ("Rotate", -0.6, 0.5), ("ShearY", 0.23, 0.9)],
        dtype=torch.float64,
    )
    fields = draw.levels.requires_grad_(), draw.gates.requires_grad_()
    image = torch.rand(2, 2, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    boxes = torch.tensor([[[1.1, 1.3, 4.2, 6.4], [0.2, 0.3, 8.7, 3.1]], [[0.4, 0.6, 5.3, 4.7], [2.2, 1.2, 3.4, 4.9]]])
    boxes = boxes.double().requires_grad_()

    def theta(levels, gates):
        return compose(Draw(draw.operations, levels, gates), 7, 9, sizes)

    assert torch.autograd.gradcheck(theta, fields)
    assert torch.autograd.gradcheck(lambda x, *given: warp(x, theta(*given), fill=0.3), (image, *fields))
    for rule in ("hull", "ellipse"):

        def moved(boxes, *given, rule=rule):
            return warp_boxes(boxes, theta(*given), sizes, 7, 9, rule)

        assert torch.autograd.gradcheck(moved, (boxes, *fields))
    of_levels, of_gates = torch.autograd.grad(theta(*fields).square().sum(), fields)
    torch.testing.assert_close(of_gates * draw.gates, of_levels * draw.levels)  # both by way of the product


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "box"}, "rule must be 'ellipse' or 'hull', got 'box'"),
        ({"boxes": torch.zeros(2, 4)}, r"boxes must be floating \[B, M, 4\]"),
        ({"boxes": torch.zeros(2, 3, 4, dtype=torch.int64)}, "boxes must be floating .* got torch.int64"),
        ({"theta": torch.zeros(2, 3)}, r"theta must be \[2, 2, 3\] for these boxes"),
        ({"sizes": torch.tensor([[40, 57]] * 2)}, "sizes must be in"),
    ],
)
def test_says_what_is_wrong(arguments, message):
    given = {"boxes": torch.zeros(2, 1, 4), "theta": torch.zeros(2, 2, 3), "sizes": None} | arguments
    with pytest.raises(ValueError, match=message):
        warp_boxes(**given, height=40, width=56)
