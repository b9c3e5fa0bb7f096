"""Exported policies that move masks and boxes, against the kernels and against torchvision's own transforms."""

import dataclasses
import sys

import pytest
import torch
import torchvision.transforms.v2.functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from tests.kernels.images import photographs
from tests.kernels.tolerances import EIGHT_BIT, GREY
from tests.tst_fast.commands.test_export import CENTRE, FILL, NAMES, _module, _policy_file
from tst_fast.cli import main
from tst_fast.config.data import DataConfig
from tst_fast.config.policy import PolicyConfig
from tst_fast.policy.augmenter import Augmenter
from tst_kernels import Draw, box_mask, warp

HEIGHT, WIDTH = photographs().shape[1:3]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    policies = {c: dataclasses.replace(_policy_file(c), composes_warps=True) for c in ("additive", "sequential")}
    yield {composition: _module(policy, "torchvision", folder) for composition, policy in policies.items()}
    for composition in policies:
        del sys.modules[f"torchvision_{composition}"]


def _drawn(choice):
    """The same as a draw of two images."""
    codes = torch.tensor([NAMES.index(name) for name in choice.names], dtype=torch.int32)
    rows = [codes, torch.tensor(choice.levels), torch.tensor(choice.gates), torch.tensor(choice.centre)]
    return Draw(*(row.expand(2, -1) for row in rows))


def _labels():
    """Large areas of four classes."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    return ((y // 17 + x // 23) % 4).byte()


@pytest.mark.parametrize("composition", ["additive", "sequential"])
def test_images_and_masks_equal_the_augmenters(exported, composition):
    """For choices that the transform itself drew."""
    transform = exported[composition].LearnedPolicy()
    data = DataConfig(mean=tuple(FILL), std=(1.0, 1.0, 1.0))
    augmenter = Augmenter(None, PolicyConfig(composition=composition), data, composed=True)
    images, labels = photographs().permute(0, 3, 1, 2) / 255, _labels()
    torch.manual_seed(4)
    moved = 0
    for _ in range(12):
        choice = transform.make_params([])["choice"]
        found, geometry = augmenter.apply(photographs(), _drawn(choice))
        result = transform.transform(tv_tensors.Image(images), {"choice": choice}).as_subclass(torch.Tensor)
        close = (result - found - torch.tensor(FILL)[:, None, None]).abs() <= 4 * GREY + 2 * EIGHT_BIT
        assert close.float().mean() > (0.999 if composition == "additive" else 0.97), choice
        erased = torch.where(box_mask(geometry.erased, HEIGHT, WIDTH), 255, labels)
        expected = warp(erased, geometry.theta, "nearest", fill=255)[0]
        mask = transform.transform(tv_tensors.Mask(labels), {"choice": choice})
        assert isinstance(mask, tv_tensors.Mask) and mask.dtype == torch.uint8
        assert (mask == expected).float().mean() > 0.9999, choice
        moved += (expected != labels).any()
    assert moved > 6


@pytest.mark.parametrize(("name", "degrees", "shift"), [("Rotate", 21.0, (0, 0)), ("TranslateX", 0.0, (17, 0))])
@pytest.mark.parametrize("form", ["XYXY", "CXCYWH"])
def test_boxes_follow_torchvisions_rule(exported, name, degrees, shift, form):
    """One warp at a time, for which torchvision has a function; a mask of the same box follows, too."""
    module = exported["additive"]
    level = degrees / 30 if degrees else shift[0] / (150 / 331 * WIDTH)
    choice = module.Choice([name], [level], [1.0], CENTRE)
    corners = torch.tensor([[20.0, 30, 60, 50], [0, 0, 30, 90], [100, 10, 128, 40]])
    boxes = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(HEIGHT, WIDTH))
    boxes = F.convert_bounding_box_format(boxes, new_format=form)
    found = module.LearnedPolicy().transform(boxes, {"choice": choice})
    expected = F.affine(boxes, -degrees, list(shift), 1.0, [0.0, 0.0])
    assert found.format == boxes.format and found.canvas_size == (HEIGHT, WIDTH)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    mask = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.bool)
    for row, (left, top, right, bottom) in zip(mask, corners.int().tolist(), strict=True):
        row[top:bottom, left:right] = True
    moved = module.augment_mask(mask, choice)
    hulls = F.convert_bounding_box_format(found, new_format="XYXY")
    for row, hull in zip(moved, hulls, strict=True):
        rows, columns = row.nonzero().unbind(1)
        around = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert (around - hull.as_subclass(torch.Tensor)).abs().max() <= 1.5


def test_a_sample_moves_as_one(exported):
    """Within an ordinary chain: all parts, plain labels beside them untouched, the same again from the same seed."""
    chain = v2.Compose([v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True)])
    chain = v2.Compose([chain, exported["additive"].LearnedPolicy(), v2.SanitizeBoundingBoxes()])
    boxes = tv_tensors.BoundingBoxes([[0, 0, 50, 40], [60, 20, 90, 90]], format="XYXY", canvas_size=(HEIGHT, WIDTH))
    sample = {
        "image": tv_tensors.Image(photographs()[0].permute(2, 0, 1)),
        "mask": tv_tensors.Mask(_labels()),
        "boxes": boxes,
        "labels": torch.tensor([3, 5]),
    }
    results = []
    for _ in range(2):
        torch.manual_seed(2)
        results.append(chain(sample))
    first, second = results
    assert not torch.equal(first["mask"], sample["mask"]) and not torch.equal(first["boxes"], sample["boxes"])
    assert first["boxes"].dtype == boxes.dtype and first["labels"].tolist() == [3, 5]
    assert all(torch.equal(first[key], second[key]) for key in sample)


def test_what_does_not_fit_together_is_refused(exported, tmp_path):
    transform = exported["additive"].LearnedPolicy()
    image = tv_tensors.Image(photographs()[0].permute(2, 0, 1))
    with pytest.raises(ValueError, match=r"of one size, got \[\(48, 64\), \(96, 128\)\]"):
        transform(image, tv_tensors.Mask(torch.zeros(48, 64, dtype=torch.uint8)))
    with pytest.raises(TypeError, match="with masks and boxes, not KeyPoints"):
        transform(image, tv_tensors.KeyPoints([[1, 2]], canvas_size=(HEIGHT, WIDTH)))
    dataclasses.replace(_policy_file(), composes_warps=True).write(tmp_path / "policy.json")
    with pytest.raises(SystemExit, match=r"error: .* the program for dali does not: give --to torchvision"):
        main(["export", "--policy", str(tmp_path / "policy.json"), "--to", "dali"])
    main(["export", "--policy", str(tmp_path / "policy.json"), "--to", "torchvision"])
