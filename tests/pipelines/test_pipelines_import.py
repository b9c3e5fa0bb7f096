"""What importing the package loads, in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys


def run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_import_loads_neither_dali_nor_the_other_rooms() -> None:
    program = "import sys, pipelines; print([n for n in ('nvidia.dali', 'kernels', 'tst_fast') if n in sys.modules])"
    assert run(program) == "[]"


def test_without_dali_the_loader_says_how_to_install_it() -> None:
    program = """
import sys
sys.modules["nvidia.dali"] = None  # as if not installed
import numpy, pipelines
dataset = pipelines.ImageDataset("data", ("a/1.png",), numpy.zeros(1, "int64"), ("a",))
try:
    pipelines.DaliLoader(dataset, pipelines.PadAndCrop(32), 1, training=True)
except pipelines.DataError as error:
    print(error)
"""
    assert "pip install nvidia-dali-cuda130" in run(program)
