"""The search in the plain image's frame: its gradient is that of its objective, and its labels are those in sight."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tst_fast.losses.pixels import pixel_weights
from tst_fast.models.segmentation import SegmentationOutput
from tst_fast.tasks.segmentation.plain_frame import augmented_positions, pulled_back, seen_labels
from tst_kernels import OPERATIONS, warp
from tst_kernels.operations import Scene, family_parameters

HEIGHT, WIDTH, CLASSES = 24, 40, 3
WARPS = ["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"]
NOTHING = torch.zeros(2, 4)


def _theta(operation, level):
    """The map [2, 2, 3] of an operation at one level for both images, in float64."""
    codes = torch.full((2, 1), OPERATIONS[operation].code)
    zeros = torch.zeros(2, 1, dtype=torch.float64)
    scene = Scene(HEIGHT, WIDTH, zeros, torch.zeros(2, 1, 2, dtype=torch.float64))
    return family_parameters(codes, level.expand(2, 1), scene).view(2, 2, 3)


def _smooth():
    """Two images [2, 3, H, W] of waves, and labels by the height of others."""
    y, x = torch.meshgrid(torch.arange(HEIGHT) / HEIGHT, torch.arange(WIDTH) / WIDTH, indexing="ij")
    waves = [torch.sin(6 * x + 4 * y + phase) * torch.cos(3 * x - 5 * y + phase) for phase in range(8)]
    images = torch.stack(waves[:6]).view(2, 3, HEIGHT, WIDTH).double()
    labels = torch.stack([(wave > -0.2).byte() + (wave > 0.3).byte() for wave in waves[6:]])
    labels[0, :5] = 255
    return images, labels


@pytest.fixture(scope="module")
def networks():
    """A teacher and a student of stride 2 that have learned the labels, in float64."""
    images, labels = _smooth()
    networks = []
    for width, steps in ((8, 100), (4, 50)):
        torch.manual_seed(0)
        layers = nn.Conv2d(3, width, 5, stride=2, padding=2), nn.Tanh(), nn.Conv2d(width, CLASSES, 3, padding=1)
        network = nn.Sequential(*layers).double()
        optimizer = torch.optim.Adam(network.parameters(), 0.02)
        for _ in range(steps):
            logits = F.interpolate(network(images), (HEIGHT, WIDTH), mode="bilinear")
            loss = F.cross_entropy(logits, labels.long(), ignore_index=255)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        networks.append(network.requires_grad_(False))
    return networks


def _loss(logits, labels):
    """What the policy minimises, for a teacher's and a student's logits [B, C, H, W]."""
    chosen = torch.where(labels == 255, 0, labels).long().unsqueeze(1)
    teacher, student = (each.softmax(1).gather(1, chosen)[:, 0] for each in logits)
    return -(pixel_weights(labels).double() * (teacher.log() + (1 - student + 1e-6).log())).sum()


def _in_the_plain_frame(networks, operation, level):
    images, labels = _smooth()
    theta = _theta(operation, level)
    positions = augmented_positions(theta, (HEIGHT, WIDTH))
    augmented = warp(images, theta)
    return _loss(
        [pulled_back(network(augmented), positions) for network in networks], seen_labels(labels, positions, NOTHING)
    )


def _with_moved_labels(networks, operation, level):
    images, labels = _smooth()
    theta = _theta(operation, level)
    augmented, moved = warp(images, theta), warp(labels, theta.detach(), "nearest", fill=255)
    logits = [F.interpolate(network(augmented), (HEIGHT, WIDTH), mode="bilinear") for network in networks]
    return _loss(logits, moved)


def _difference(objective, networks, operation, level, step=1e-4):
    ends = [objective(networks, operation, torch.tensor(level + d, dtype=torch.float64)) for d in (step, -step)]
    return (ends[0] - ends[1]).item() / (2 * step)


def _with_gradient(objective, networks, operation, level):
    """The objective's value, and its gradient to the level."""
    level = torch.tensor(level, dtype=torch.float64, requires_grad=True)
    value = objective(networks, operation, level)
    value.backward()
    return value.item(), level.grad.item()


@pytest.mark.parametrize("level", [0.41, -0.41])
@pytest.mark.parametrize("operation", WARPS)
def test_the_gradient_is_that_of_the_objective(networks, operation, level):
    expected = _difference(_in_the_plain_frame, networks, operation, level)
    assert _with_gradient(_in_the_plain_frame, networks, operation, level)[1] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("level", [0.41, -0.41])
@pytest.mark.parametrize("operation", WARPS)
def test_labels_that_move_without_a_gradient_would_mislead_it(networks, operation, level):
    """The objectives agree in value, but not in their gradients: by these networks, not even in sign for shears."""
    plain, expected = _with_gradient(_in_the_plain_frame, networks, operation, level)
    moved, misled = _with_gradient(_with_moved_labels, networks, operation, level)
    assert moved == pytest.approx(plain, rel=0.1)
    assert abs(misled - expected) > 0.1 * abs(expected)
    assert misled * expected < 0 or not operation.startswith("Shear")


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
    images, _ = _smooth()
    theta = _theta(operation, torch.tensor(0.37, dtype=torch.float64))
    positions = augmented_positions(theta, (HEIGHT, WIDTH))
    back = pulled_back(warp(images, theta), positions, align_corners)
    inner = (positions.abs() < 0.9).all(3)  # two pixels away from what lies outside, in both frames
    inner[:, :2], inner[:, -2:], inner[:, :, :2], inner[:, :, -2:] = False, False, False, False
    assert inner.float().mean() > 0.3
    assert (back - images).abs().amax(1)[inner].max() < 0.03
    assert (warp(images, theta) - images).abs().amax(1)[inner].max() > 0.3


@pytest.mark.parametrize("operation", WARPS)
def test_labels_in_sight_are_those_that_the_warped_image_shows(operation):
    """A pixel is shown if a sixteenth of a pixel of the warped image comes from its centre."""
    theta = _theta(operation, torch.tensor(0.57, dtype=torch.float64))
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
