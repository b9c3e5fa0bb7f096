"""What docs/compatibility.md says of machines without DALI and Triton, and the versions that it names."""

import re

import tst_kernels
from tests.docs.pages import ROOT
from tests.tst_fast.processes import output_of
from tst_fast import __version__

PAGE = (ROOT / "docs/compatibility.md").read_text(encoding="utf-8")


def test_digits_train_without_dali_and_triton():
    program = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.split(".")[0] in ("triton", "nvidia") else find(name, *rest)
sys.modules["triton"] = sys.modules["nvidia.dali"] = None
from tst_fast.train import main
main(["--config=digits", "--dry_run", "--teacher.arguments={channels: [4]}", "--student.arguments={channels: [4]}"])
"""
    assert "two steps of everything went well" in output_of(["-c", program])


def test_the_versions_are_the_distributions():
    found = dict(re.findall(r"^\| `(tst-\w+)` \| ([\d.]+) \|", PAGE, re.MULTILINE))
    assert found == {"tst-kernels": tst_kernels.__version__, "tst-fast": __version__}


def test_the_ranges_are_those_that_setup_asks_for():
    setup = (ROOT / "setup.py").read_text(encoding="utf-8") + (ROOT / "kernels/pyproject.toml").read_text(
        encoding="utf-8"
    )
    for title, name in (("PyTorch", "torch"), ("Triton", "triton")):
        lowest, highest = re.search(rf"^\| {title} \| ([\d.]+) to ([\d.]+) \|", PAGE, re.MULTILINE).groups()
        major, minor = highest.split(".")
        assert f'"{name}>={lowest},<{major}.{int(minor) + 1}' in setup


def test_the_image_is_built_from_what_is_there_and_not_ignored():
    docker = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    sources = [name for line in re.findall(r"^COPY (.+)$", docker, re.MULTILINE) for name in line.split()[:-1]]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(sources) == kept and all((ROOT / name).exists() for name in sources)
    extras = re.search(r'"\.\[(.+)\]"', docker)[1].split(",")
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert all(f'"{extra}": [' in setup for extra in extras)
