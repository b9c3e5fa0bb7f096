"""The layout for Hugging Face's kernel hub: its own loader takes it, and what it loads is these kernels."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.kernels.triton_cases import random_draw
from tst_kernels import mix

SCRIPT = Path(__file__).parents[2] / "kernels" / "build_for_hub.py"
LOAD = """
import sys
from pathlib import Path
import torch
from kernels import get_local_kernel

folder, file, answer = map(Path, sys.argv[1:])
kernel = get_local_kernel(folder, backend="cpu")
images, *draw = torch.load(file)
mixed = kernel.mix(images, kernel.Draw(*draw))
operator = getattr(torch.ops, kernel.__name__).mix.default.name()
installed = [name for name in sys.modules if name.split(".")[0] == "tst_kernels"]
torch.save([mixed, operator, installed], answer)
"""


@pytest.fixture
def built(tmp_path):
    folder = tmp_path / "hub"
    subprocess.run([sys.executable, SCRIPT, folder], check=True, capture_output=True)
    return folder


def test_hugging_faces_loader_takes_it_and_mixes_alike(built, tmp_path):
    images, draw = torch.rand(4, 3, 16, 24), random_draw(4, 3)
    torch.save([images, draw.operations, draw.levels, draw.gates], tmp_path / "given.pt")
    words = [sys.executable, "-c", LOAD, str(built), str(tmp_path / "given.pt"), str(tmp_path / "answer.pt")]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    mixed, operator, installed = torch.load(tmp_path / "answer.pt")
    assert torch.equal(mixed, mix(images, draw))
    assert operator.startswith("tst_kernels_cpu_") and installed == []


def test_every_backend_has_the_same_modules_under_its_own_name(built):
    variants = sorted((built / "build").iterdir())
    assert [variant.name for variant in variants] == ["torch-cpu", "torch-cuda", "torch-rocm"]
    modules = [sorted(file.relative_to(variant) for file in variant.rglob("*.py")) for variant in variants]
    assert modules[0] == modules[1] == modules[2] and len(modules[0]) > 20
    about = [json.loads((variant / "metadata.json").read_text()) for variant in variants]
    assert len({one["id"] for one in about}) == 3 and {one["name"] for one in about} == {"tst-kernels"}


def test_a_folder_with_a_build_is_left_alone(built):
    ended = subprocess.run([sys.executable, SCRIPT, built], capture_output=True, text=True)
    assert ended.returncode == 2 and "has a build already" in ended.stderr


def test_an_import_that_would_need_the_installed_package_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    from build_for_hub import relative

    assert relative("from tst_kernels.fused.pixels import load\n", 1) == "from ..fused.pixels import load\n"
    assert relative("from tst_kernels import mix\n", 0) == "from . import mix\n"
    with pytest.raises(ValueError, match=r"line 2: import tst_kernels\.mix"):
        relative("import torch\nimport tst_kernels.mix as m\n", 0)
