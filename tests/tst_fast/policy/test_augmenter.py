"""What a draw makes of images: additive and in sequence, for the search and for the student alike."""

import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

from tests.kernels.images import photographs
from tests.kernels.tolerances import FLOAT32
from tst_fast.config.data import DataConfig
from tst_fast.config.policy import PolicyConfig
from tst_fast.config.schema import Config
from tst_fast.policy.augmenter import Augmenter
from tst_fast.policy.encoders import AffineEncoder, Encoders
from tst_fast.policy.policy import Policy
from tst_fast.run.search import PolicySearch
from tst_fast.run.student import FromTeacher
from tst_fast.tasks.classification import Classification
from tst_kernels import OPERATIONS, Draw, apply, normalise, warp
from tst_pipelines import Batch

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def _draw(rows, dtype=torch.float32):
    """One row (name, level, gate) for each image and slot."""
    codes = torch.tensor([[OPERATIONS[name].code for name, _, _ in row] for row in rows], dtype=torch.int32)
    levels = torch.tensor([[level for _, level, _ in row] for row in rows], dtype=dtype)
    return Draw(codes, levels, torch.tensor([[gate for _, _, gate in row] for row in rows], dtype=dtype))


def _augmenter(composition, encoders=None, data=None, policy=None):
    config = PolicyConfig(composition=composition, gates="relaxed", learning_rate=0.0)
    return Augmenter(policy, config, data or DataConfig(mean=MEAN, std=STD), encoders)


ROWS = [
    [("Rotate", 0.7, 1.0), ("Equalize", 0.0, 0.6), ("Contrast", -0.5, 0.9)],
    [("Solarize", 0.4, 1.0), ("ShearY", -0.3, 0.2), ("Invert", 0.0, 1.0)],
]


@pytest.mark.parametrize("composition", ["additive", "sequential"])
def test_equals_one_operation_at_a_time_in_float64(composition):
    images = photographs()
    expected = []
    for image, row in zip(images, ROWS, strict=True):
        original = total = image.permute(2, 0, 1)[None].double() / 255
        for name, level, gate in row:
            x = total if composition == "sequential" else original
            total = total + gate * (apply(x, name, level if OPERATIONS[name].has_level else None) - x)
        expected.append(total)
    expected = torch.cat(expected)
    if composition == "sequential":
        assert expected.min() >= 0 and expected.max() <= 1  # with nothing clamped
    else:
        assert expected.min() < -0.1
    expected = (expected - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    result = _augmenter(composition).apply(images, _draw(ROWS)).images
    # Equalize and Solarize see 8-bit values: after an operation, float32 may round the other way.
    assert ((result - expected).abs() < 10 * FLOAT32).float().mean() > 0.999


@pytest.mark.parametrize("composition", ["additive", "sequential"])
def test_composed_warps_follow_what_is_mixed(composition):
    """The rest of the draw is mixed as without its warps; then the image turns and shifts once, on the mean colour."""
    rows = [[("Rotate", 0.7, 1.0), ("Invert", 0.0, 0.6), ("ShearX", -0.5, 0.9)]] * 2
    data = DataConfig(mean=MEAN, std=STD)
    augmenter = Augmenter(None, PolicyConfig(composition=composition), data, composed=True)
    images, geometry = augmenter.apply(photographs(), _draw(rows))
    mixed = _augmenter(composition).apply(photographs(), _draw([[("Invert", 0.0, 0.6)]] * 2)).images
    turned = apply((mixed / 20 + 0.5).double(), "Rotate", 0.7)  # applies to 0..1
    inside = apply(torch.ones_like(turned), "Rotate", 0.7)
    expected = 20 * (apply(turned, "ShearX", -0.45) - 0.5 * apply(inside, "ShearX", -0.45))
    assert (images - expected).abs().mean() < 0.05 * mixed.abs().mean()  # sampled twice, it is smoother
    assert images[:, :, 0, 0].abs().max() == 0 and geometry.size == images.shape[2:]
    once = F.grid_sample(mixed, F.affine_grid(geometry.theta, mixed.shape, align_corners=False), align_corners=False)
    torch.testing.assert_close(images, once, atol=1e-4, rtol=0)


@pytest.mark.parametrize("names", [["Rotate"], ["Rotate", "TranslateX", "ShearY"], ["Invert", "Rotate", "Cutout"]])
@pytest.mark.parametrize("size", [(37, 61), (96, 128)])
def test_composed_with_shut_gates_leaves_images_and_labels_alone(names, size):
    """But for how sampling rounds; one image, one slot, odd sides."""
    augmenter = Augmenter(None, PolicyConfig(), DataConfig(mean=MEAN, std=STD), composed=True)
    images = photographs()[:1, : size[0], : size[1]].contiguous()
    found, geometry = augmenter.apply(
        images, _draw([[(name, 0.0 if name == "Cutout" else 0.8, 0.0) for name in names]])
    )
    torch.testing.assert_close(found, normalise(images, MEAN, STD), atol=1e-4, rtol=0)
    labels = images[..., 0]
    assert torch.equal(warp(labels, geometry.theta, "nearest", fill=255), labels)
    assert geometry.erased.abs().max() == 0


def test_beside_a_small_picture_all_is_the_mean_colour():
    """A picture in a larger canvas comes out as it does alone, whatever lies beside it."""
    augmenter = Augmenter(None, PolicyConfig(), DataConfig(mean=MEAN, std=STD), composed=True)
    images = torch.randint(0, 256, (2, 24, 32, 3), dtype=torch.uint8)
    sizes = torch.tensor([[16, 20], [24, 12]], dtype=torch.int32)
    codes = torch.tensor([[OPERATIONS[name].code for name in ("Invert", "Rotate", "TranslateX")]]).expand(2, -1)
    draw = Draw(codes, torch.full((2, 3), 0.5), torch.ones(2, 3))
    augmented, _ = augmenter.apply(images, draw, sizes)
    for row, (height, width) in enumerate(sizes.tolist()):
        one = Draw(draw.operations[:1], draw.levels[:1], draw.gates[:1])
        alone, _ = augmenter.apply(images[row : row + 1, :height, :width].contiguous(), one)
        inner = augmented[row, :, :height, :width]
        torch.testing.assert_close(inner[:, 1:-1, 1:-1], alone[0, :, 1:-1, 1:-1], rtol=0, atol=1e-4)
        assert augmented[row, :, height:].eq(0).all() and augmented[row, :, :, width:].eq(0).all()


@pytest.mark.parametrize("composition", ["additive", "sequential"])
def test_cutout_fills_with_the_mean_in_every_slot(composition):
    draw = _draw([[("Brightness", 0.0, 1.0), ("Cutout", 0.0, 1.0)]] * 2)
    result = _augmenter(composition).apply(photographs(), draw).images
    torch.testing.assert_close(result[:, :, 48, 64], torch.zeros(2, 3), atol=FLOAT32, rtol=0)


def test_gradients_pass_through_a_sequence():
    """Of every level and gate, also where later operations stand between it and the result."""
    images = 0.3 + 0.3 * torch.rand(2, 3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows = [
        [("Brightness", 0.2, 0.7), ("Rotate", 0.31, 0.8), ("Contrast", 0.3, 0.5)],
        [("ShearX", 0.33, 0.6), ("Color", -0.4, 0.9), ("Sharpness", 0.5, 0.4)],
    ]
    draw = _draw(rows, torch.float64)
    data = DataConfig(mean=(0.0,) * 3, std=(1.0,) * 3)

    def run(levels, gates):
        return _augmenter("sequential", data=data).apply(images, Draw(draw.operations, levels, gates)).images

    assert torch.autograd.gradcheck(run, (draw.levels.requires_grad_(), draw.gates.requires_grad_()))


@pytest.mark.parametrize("composition", ["additive", "sequential"])
def test_encoders_that_do_what_their_operations_do_change_nothing(composition):
    """The identity plus 0.3 times the level, at the right places, is a shear: the exact prior and the neural agree."""
    encoders = Encoders(["ShearX", "Brightness", "Invert"])
    assert list(encoders) == ["ShearX", "Brightness"]
    height, width = photographs().shape[1:3]
    with torch.no_grad():
        for entry in (1, 2):  # about the corner at (-1, -1)
            encoders["ShearX"].linear.weight[entry, -1] = 0.3 * height / width
        encoders["Brightness"].linear.weight[0, -1] = 0.9
    rows = [
        [("ShearX", 0.7, 1.0), ("Invert", 0.0, 0.6), ("Brightness", -0.5, 0.9)],
        [("Invert", 0.0, 1.0), ("Brightness", 0.8, 0.2), ("ShearX", -0.3, 0.7)],
    ]
    given = None, encoders
    exact, neural = (_augmenter(composition, one).apply(photographs(), _draw(rows)).images for one in given)
    torch.testing.assert_close(neural, exact, atol=1e-3, rtol=0)


@pytest.mark.parametrize("composition", ["additive", "sequential"])
def test_gradients_reach_levels_and_gates_through_frozen_encoders(composition):
    torch.manual_seed(0)
    encoders = Encoders(["Rotate", "Contrast"]).double()
    for parameter in encoders.parameters():
        nn.init.normal_(parameter, std=0.05)
        parameter.requires_grad_(False)
    with torch.no_grad():
        encoders["Contrast"].convolution.weight[:, :, 2, 2] += torch.eye(3)
    images = 0.4 + 0.2 * torch.rand(2, 3, 6, 6, dtype=torch.float64)
    draw = _draw(
        [[("Rotate", 0.3, 0.7), ("Contrast", 0.4, 0.6)], [("Contrast", -0.2, 0.5), ("Brightness", 0.3, 0.8)]],
        torch.float64,
    )

    def run(levels, gates):
        return _augmenter(composition, encoders).apply(images, Draw(draw.operations, levels, gates)).images

    levels, gates = draw.levels.requires_grad_(), draw.gates.requires_grad_()
    assert torch.autograd.gradcheck(run, (levels, gates))
    of_levels, of_gates = torch.autograd.grad(run(levels, gates).square().sum(), (levels, gates))
    assert (of_gates != 0).all() and (of_levels != 0).all()
    assert isinstance(encoders["Rotate"], AffineEncoder)


class _Recorder(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, images):
        self.seen = images.detach()
        return self.linear(images.mean(dim=(2, 3)))


@pytest.mark.parametrize("composition", ["additive", "sequential"])
def test_search_and_student_see_the_same_images(composition):
    policy = Policy([name for name in OPERATIONS if name != "AutoContrast"])
    augmenter = _augmenter(composition, policy=policy)
    teacher, student, accelerator = _Recorder(), _Recorder(), Accelerator(cpu=True)
    config = Config(data=augmenter.data)
    task = Classification(config, accelerator)
    batch = Batch(photographs(), torch.tensor([0, 1]), np.arange(2))
    torch.manual_seed(3)
    PolicySearch(task, augmenter, accelerator, teacher, student, window=100).step(batch)
    in_search = teacher.seen
    torch.manual_seed(3)
    FromTeacher(task, config, accelerator, teacher, augmenter)(student, batch)
    torch.testing.assert_close(teacher.seen[:2], in_search, atol=0, rtol=0)
    torch.testing.assert_close(student.seen, teacher.seen, atol=0, rtol=0)


@pytest.mark.parametrize("composition", ["additive", "sequential"])
def test_nothing_waits_for_a_gpu(composition, monkeypatch):
    """On tensors without data, by the operators that a GPU runs, nothing can be read or copied from the host."""
    monkeypatch.setattr(sys.modules["tst_kernels.mix"], "resolve_backend", lambda *_: "triton")
    policy = Policy(list(OPERATIONS)).to("meta")
    images = torch.empty(4, 8, 9, 3, dtype=torch.uint8, device="meta")
    result = _augmenter(composition, policy=policy)(images).images
    assert result.is_meta and result.shape == (4, 3, 8, 9)
    result.sum().backward()
    assert policy.probability_logits.grad.is_meta and policy.magnitude_logits.grad.is_meta
