"""What the README shows of the kernels runs as it stands."""

import re
from pathlib import Path

import torch

README = Path(__file__).parents[2] / "README.md"


def test_the_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict = {}
    exec(example, names)
    assert names["rotated"].shape == names["mixed"].shape == (8, 3, 224, 224)
    assert names["level"].grad.abs().min() > 0
    assert torch.isfinite(names["mixed"]).all()
