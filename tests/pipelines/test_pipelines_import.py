"""What importing the package loads, in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys


def run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_import_loads_neither_dali_nor_the_other_rooms() -> None:
    others = ("nvidia.dali", "tst_kernels", "tst_fast")
    program = f"import sys, tst_pipelines; print([name for name in {others} if name in sys.modules])"
    assert run(program) == "[]"


def test_without_dali_the_loader_says_how_to_install_it() -> None:
    program = """
import sys
sys.modules["nvidia.dali"] = None  # as if not installed
import numpy, tst_pipelines
dataset = tst_pipelines.ImageDataset("data", ("a/1.png",), numpy.zeros(1, "int64"), ("a",))
try:
    tst_pipelines.DaliLoader(dataset, tst_pipelines.PadAndCrop(32), 1, tst_pipelines.Share(training=True))
except tst_pipelines.DataError as error:
    print(error)
"""
    assert "pip install 'tst-fast[cuda13]' (or [cuda12])" in run(program)
