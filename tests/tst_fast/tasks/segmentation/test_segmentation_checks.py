"""Crops and batches that a network cannot be trained on are refused, and torch agrees that they are."""

import pytest
import torch

from tst_fast.errors import UserError
from tst_fast.models.segmentation import build_segmenter
from tst_fast.tasks.segmentation.checks import check_batch, check_crop

POOLED = {"deeplabv3/resnet18": "context.pool.1", "pspnet/mobilenetv2_100": "context.branches.0.1"}


def test_crops_fill_the_cells():
    check_crop((64, 96), 8, "student")
    with pytest.raises(
        UserError, match=r"crop_size is \[60, 96\].* multiples of 8 for --teacher.name: take \[56, 96\] or \[64, 96\]"
    ):
        check_crop((60, 96), 8, "teacher")
    with pytest.raises(UserError, match=r"take \[8, 8\] or \[8, 16\]"):
        check_crop((5, 12), 8, "student")


@pytest.mark.parametrize("name", POOLED)
def test_one_image_cannot_be_normalised_after_pooling(name):
    network = build_segmenter(name, 3, {})
    check_batch(network, (64, 64), 2, "student")
    with pytest.raises(UserError, match=rf"\({POOLED[name]}\), .* two images or more .*--student_training.accumulate"):
        check_batch(network, (64, 64), 1, "student")
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network.train()(torch.zeros(1, 3, 64, 64))
    assert all(module.training for module in network.modules())
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("name", ["dilated", "smp/PSPNet"])
def test_one_image_is_enough_without_pooled_batch_norm(name):
    network = build_segmenter(name, 3, {}).train()
    check_batch(network, (64, 64), 1, "student")
    network(torch.zeros(1, 3, 64, 64))
