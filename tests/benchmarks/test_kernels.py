"""The CPU's table of the augmentation: a row for each size, pass and arm, whatever is missing."""

import pytest
import torch

from benchmarks import kernels, peers
from benchmarks.results import Results
from benchmarks.work import PAPER

ARMS = ("ours", "ours, compiled", "torchvision", "kornia", "kornia, compiled")


@pytest.fixture
def swept(request, monkeypatch):
    """A sweep over two tiny sizes, with nothing compiled: torch is told so."""
    if request.param == "kornia is missing":
        monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None if name == "kornia" else object())
    elif not peers.importlib.util.find_spec("kornia"):
        pytest.skip("kornia is not installed")
    with torch._dynamo.config.patch(disable=True):
        results = Results({}, None)
        kernels.sweep(results, {16: 2, 12: 1}, PAPER, rounds=2)
    return {(row["size"], row["pass"], row["name"]): row for row in results.rows}


@pytest.mark.parametrize("swept", ["kornia is there", "kornia is missing"], indirect=True)
def test_every_size_pass_and_arm_has_a_row(swept):
    assert swept.keys() == {(*case, name) for case in ((16, "forward"), (16, "both"), (12, "both")) for name in ARMS}
    row = swept[16, "both", "ours"]
    assert 0 < row["lowest"] <= row["images_per_second"] <= row["highest"] and row["first_call_seconds"] > 0
    assert "minute of compilation" in swept[12, "both", "kornia, compiled"]["note"]


@pytest.mark.parametrize("swept", ["kornia is there"], indirect=True)
def test_ratios_are_to_eager_kornia(swept):
    ours, kornia = swept[16, "both", "ours"], swept[16, "both", "kornia"]
    assert ours["ratio_to_kornia"] == pytest.approx(ours["images_per_second"] / kornia["images_per_second"])
    assert kornia["ratio_to_kornia"] == 1


@pytest.mark.parametrize("swept", ["kornia is missing"], indirect=True)
def test_a_missing_library_is_a_row_that_says_so(swept):
    for name in ("kornia", "kornia, compiled"):
        assert swept[16, "both", name]["note"] == "kornia is not installed"
    assert swept[16, "both", "ours"]["ratio_to_kornia"] is None
