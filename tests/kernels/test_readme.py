"""What the pages show of the kernels runs as it stands."""

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["docs/augmentation.md", "kernels/README.md"])
def test_the_example_runs(page):
    example, *_ = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    names: dict = {}
    exec(example, names)
    assert names["rotated"].shape == names["mixed"].shape == (8, 3, 224, 224)
    assert names["level"].grad.abs().min() > 0
    assert torch.isfinite(names["mixed"]).all()


def test_where_boxes_and_label_maps_move_along():
    text = (ROOT / "kernels" / "README.md").read_text(encoding="utf-8")
    names: dict = {}
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(example, names)
    assert names["moved"].shape == names["mixed"].shape and names["moved_labels"].dtype == torch.uint8
    assert names["moved_boxes"].shape == (8, 1, 4) and (names["visible_share"] > 0).all()
