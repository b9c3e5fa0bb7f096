"""The whole command for a GPU, on a CPU: with tiny images, as if on an H100, and with the peers and DALI missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.__main__ import PARTS
from benchmarks.gpu.goals import GOALS
from benchmarks.loaders import DECODINGS
from benchmarks.training.arms import KORNIA, LOADED, STUDENT
from benchmarks.training.measure import keys_of
from benchmarks.training.pairs import PAIRS

pytestmark = pytest.mark.long  # two minutes of a core; its parts are tested one by one in `test_gpu_parts`
ROOT = Path(__file__).parents[2]
MAIN = PAIRS[0].preset
MACHINE = """
import sys

for hidden in ("kornia", "triton_augment", "nvidia.dali"):
    sys.modules[hidden] = None
import torch

torch.cuda.get_device_name = lambda device=None: "NVIDIA H100 80GB HBM3"
"""
"""Run by every Python that is started: the machine without a network, and with a GPU's name."""


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """What the command wrote."""
    folder = tmp_path_factory.mktemp("rehearsal")
    (folder / "sitecustomize.py").write_text(MACHINE)
    paths = (folder, ROOT, ROOT / "kernels", ROOT / "pipelines")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, paths)), "TORCHDYNAMO_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    options = ["--device", "cpu", "--sizes", "16", "32", "--batch", "2", "--seconds", "0", "--limit", "1800"]
    command = [sys.executable, "-m", "benchmarks.gpu", "--json", str(folder / "gpu.json"), *options]
    answer = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found = json.loads((folder / "gpu.json").read_text())
    found["files"] = {file.name: file.stat().st_size for file in folder.iterdir()}
    found["markdown"] = (folder / "gpu.md").read_text()
    return found


def rows_of(found, part, **what):
    return [row for row in found["rows"] if row["part"] == part and what.items() <= row.items()]


def test_every_part_was_done(result):
    assert list(result["parts"]) == list(PARTS)
    assert all(ended.startswith("done in ") for ended in result["parts"].values())
    assert not [row for row in result["rows"] if str(row.get("note", "")).startswith(("failed", "not reached"))]
    assert result["gpu"] == "NVIDIA H100 80GB HBM3"


def test_parity_is_measured_in_every_layout(result):
    rows = rows_of(result, "parity")
    assert {row.get("images") for row in rows} >= {"packed", "nhwc", "nchw", "float32"}
    assert all(row["is_right"] for row in rows)
    assert all(row["error"] > 0 for row in rows if row.get("result") == "bfloat16" and "against" in row["name"])


def test_kernels_are_measured_beside_the_bound_of_the_gpu_that_was_named(result):
    (bound,) = rows_of(result, "bounds", images="packed")
    assert bound["gpu"] == "H100 SXM" and 1e5 < bound["issue_bound"] < bound["memory_bound"] < 1e8
    (forward,) = rows_of(
        result, "kernels", name="mix", size=16, images="packed", result="bfloat16", **{"pass": "forward"}
    )
    pixels = forward["images_per_second"] * 16**2 / (bound["issue_bound"] * 224**2)
    assert forward["share_of_issue_bound"] == pytest.approx(pixels)
    assert rows_of(result, "kernels", name="mix", size=32, batch=1) and rows_of(result, "kernels", name="Cutout")


def test_what_is_missing_is_a_row_that_says_so(result):
    notes = [row["note"] for row in rows_of(result, "training") if row["step"] == KORNIA]
    assert set(notes) == {"kornia is not installed"}
    assert {row["note"] for row in rows_of(result, "peers", name="kornia")} == {"kornia is not installed"}
    assert {row["note"] for row in rows_of(result, "peers", name="triton-augment")} == {
        "triton-augment is not installed"
    }
    assert all(row["images_per_second"] > 0 for row in rows_of(result, "peers", name="torchvision"))
    assert {row["note"] for row in rows_of(result, "counters")} == {"ncu is not installed"}
    assert {row["note"] for row in rows_of(result, "variants")} == {"needs a GPU"}
    (suite,) = rows_of(result, "suite")
    assert suite["skipped"] > 80 and "failed" not in suite and suite["exit_status"] == 0


def test_every_pair_has_a_row_for_each_arm_and_variant(result):
    base = {"precision": "bfloat16", "weights": "channels_last", "compiled": False}
    for pair in PAIRS:
        rows = rows_of(result, "training", pair=pair.preset, **base)
        assert [(row["step"], row["data"]) for row in rows] == list(keys_of(pair))
        assert all("images_per_second" in row for row in rows if row["step"] != KORNIA and row["data"] != LOADED)
        without = {row.get("note") for row in rows if row["data"] == LOADED}
        assert without == {"DALI is not installed" if pair.images == "photographs" else None}
    variants = {(row["precision"], row["weights"], row["compiled"]) for row in rows_of(result, "training", pair=MAIN)
                if "precision" in row}  # fmt: skip
    assert len(variants) == 4


def test_the_training_step_has_its_stages_and_a_trace(result):
    row = rows_of(result, "training", pair=MAIN, step=STUDENT)[0]
    stages = [row[f"{stage}_ms"] for stage in ("augmentation", "teacher", "student", "backward", "optimizer")]
    assert min(stages) > 0 and sum(stages) == pytest.approx(row["milliseconds"], rel=0.5)
    assert row["arithmetic_floor_ms"] > 0 and row["memory_floor_ms"] > 0
    assert result["files"]["gpu.trace.json.gz"] > 10_000
    assert "convolution" in "".join(row.get("kernel", "") for row in rows_of(result, "training"))


def test_the_loaders_are_swept(result):
    rows = rows_of(result, "loaders")
    assert len({(row["hw_decoder_load"], row["threads"], row["prefetch"]) for row in rows}) == len(DECODINGS)
    assert {row["note"] for row in rows} == {"DALI is not installed"}


def test_the_summary_has_every_goal_and_row(result):
    goals = rows_of(result, "goals")
    assert [row["name"] for row in goals] == [name for name, *_ in GOALS]
    kornia = next(row for row in goals if "kornia" in row["name"])
    assert kornia["measured"] is None and kornia["is_reached"] is False
    assert goals[0]["measured"] == 1
    assert result["markdown"].count("\n| ") >= len(result["rows"])
    assert "### goals" in result["markdown"] and "kornia is not installed" in result["markdown"]
