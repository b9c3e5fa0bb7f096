"""Large images are evaluated in little memory: an image as large as Cityscapes' in far less than a gigabyte."""

from pathlib import Path

import pytest

from tests.tst_fast.label_maps import pairs_flags, write_pairs
from tests.tst_fast.processes import output_of

PROGRAM = str(Path(__file__).with_name("evaluation_memory.py"))
FLAGS = ("--config=segmentation/scenes", "--student.arguments={channels: [4, 4, 4, 4]}", "--data.test_batch_size=1")
CLASSES = 19
LOGITS = 4 * CLASSES * 1024 * 2048 / 2**20
"""MiB of all logits of an image in float32: 152."""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Flags of pairs as large as Cityscapes', with as many classes."""
    root = write_pairs(tmp_path_factory.mktemp("large"), train=1, test=2, size=(1024, 2048))
    names = ", ".join(f"class{number}" for number in range(CLASSES))
    return [*FLAGS, *pairs_flags(root)[:-1], f"--data.class_names=[{names}]", "--data.loader=dali"]


def test_whole_images_are_answered_without_all_their_logits(large):
    _, grown = map(int, output_of([PROGRAM, *large]).split())
    assert grown < 1.3 * LOGITS


def test_windows_add_up_in_one_image_of_logits(large):
    """The sum, a window's quarter of it, and what dividing and finding the highest take."""
    _, grown = map(
        int, output_of([PROGRAM, *large, "--data.window=[512, 1024]", "--data.window_step=[256, 512]"]).split()
    )
    assert grown < 3 * LOGITS
