"""What the README shows of the kernels runs as it stands."""

import re
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]


def test_the_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict = {}
    exec(example, names)
    assert names["rotated"].shape == names["mixed"].shape == (8, 3, 224, 224)
    assert names["level"].grad.abs().min() > 0
    assert torch.isfinite(names["mixed"]).all()


def test_the_kernels_own_examples_run():
    examples = re.findall(
        r"```python\n(.*?)```", (ROOT / "kernels" / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    names: dict = {}
    for example in examples:
        exec(example, names)
    assert names["moved"].shape == names["mixed"].shape and names["moved_labels"].dtype == torch.uint8
    assert names["moved_boxes"].shape == (8, 1, 4) and (names["visible_share"] > 0).all()
