"""The search in the plain image's frame: logits come back to where they belong, and labels are those in sight."""

import pytest
import torch
import torch.nn.functional as F

from tests.tst_fast.tasks.segmentation.smooth import CLASSES, HEIGHT, WIDTH, smooth_images
from tst_fast.models.segmentation import SegmentationOutput
from tst_fast.tasks.segmentation.plain_frame import augmented_positions, pulled_back, seen_labels
from tst_kernels import OPERATIONS, Draw, compose, warp

WARPS = ["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"]
NOTHING = torch.zeros(2, 4)


def _theta(operation, level):
    """The map [2, 2, 3] of an operation at one level for both images, in float64."""
    codes, levels = torch.full((2, 1), OPERATIONS[operation].code), torch.full((2, 1), level, dtype=torch.float64)
    return compose(Draw(codes, levels, torch.ones_like(levels)), HEIGHT, WIDTH)


@pytest.mark.parametrize("align_corners", [False, True])
def test_without_a_warp_logits_are_resized(align_corners):
    logits = torch.randn(2, CLASSES, 6, 10, generator=torch.Generator().manual_seed(0))
    still = torch.eye(2, 3).expand(2, 2, 3)
    found = pulled_back(logits, augmented_positions(still, (HEIGHT, WIDTH)), align_corners)
    expected = SegmentationOutput(logits, align_corners=align_corners).resized(logits, (HEIGHT, WIDTH))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("operation", WARPS)
def test_what_was_warped_comes_back(operation, align_corners):
    """Logits at the images' own resolution, taken for the warped images themselves."""
    images, _ = smooth_images()
    theta = _theta(operation, 0.37)
    positions = augmented_positions(theta, (HEIGHT, WIDTH))
    back = pulled_back(warp(images, theta), positions, align_corners)
    inner = (positions.abs() < 0.9).all(3)  # two pixels away from what lies outside, in both frames
    inner[:, :2], inner[:, -2:], inner[:, :, :2], inner[:, :, -2:] = False, False, False, False
    assert inner.float().mean() > 0.3
    assert (back - images).abs().amax(1)[inner].max() < 0.009
    assert (warp(images, theta) - images).abs().amax(1)[inner].max() > 0.09


@pytest.mark.parametrize("operation", WARPS)
def test_labels_in_sight_are_those_that_the_warped_image_shows(operation):
    """A pixel is shown if a sixteenth of a pixel of the warped image comes from its centre."""
    theta = _theta(operation, 0.57)
    whole = torch.ones(2, HEIGHT, WIDTH, dtype=torch.uint8)
    found = seen_labels(whole, augmented_positions(theta, (HEIGHT, WIDTH)), NOTHING)
    fine = F.affine_grid(theta, [2, 1, 16 * HEIGHT, 16 * WIDTH], align_corners=False)[0].flatten(0, 1)
    x, y = ((fine + 1) / 2 * torch.tensor([WIDTH, HEIGHT]) - 0.5).unbind(1)
    near = ((x - x.round()).abs() < 0.1) & ((y - y.round()).abs() < 0.1)
    near &= (x.round() >= 0) & (x.round() < WIDTH) & (y.round() >= 0) & (y.round() < HEIGHT)
    shown = torch.full((HEIGHT, WIDTH), 255, dtype=torch.uint8)
    shown[y[near].round().long(), x[near].round().long()] = 1
    assert (found[0] != shown).sum() <= 4, "but for centres on the border"
    assert 0.02 < (shown == 255).float().mean() < 0.6


def test_erased_pixels_are_not_in_sight():
    labels = torch.ones(2, HEIGHT, WIDTH, dtype=torch.uint8)
    still = augmented_positions(torch.eye(2, 3).expand(2, 2, 3), (HEIGHT, WIDTH))
    erased = torch.tensor([[3.4, -2.0, 9.5, 7.6], [0, 0, 0, 0]])
    expected = labels.clone()
    expected[0, :8, 3:9] = 255  # centres 3.5 to 8.5, and up to 7.5
    assert torch.equal(seen_labels(labels, still, erased), expected)
