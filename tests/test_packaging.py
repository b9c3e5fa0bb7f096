"""What is built and installed: two distributions that share no file, and an archive of the sources that holds all."""

import base64
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import Distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tst_fast.config import reading

ROOT = Path(__file__).parents[1]
SOURCES = {
    "tst-fast": [ROOT / "tst_fast", ROOT / "pipelines/tst_pipelines"],
    "tst-kernels": [ROOT / "kernels/tst_kernels"],
}
ARCHIVED = ("kernels", "pipelines", "tst_fast", "tests", "docs", "examples", "benchmarks", ".ci")


def _run(*command: str | Path, **options) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _files(folder: Path) -> set[str]:
    """All in a folder, but for what Python and setuptools leave there."""
    left = re.compile(r"__pycache__|build|.*\.egg-info")
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if not any(map(left.fullmatch, path.parts))}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the repository to build in: setuptools leaves files of its own where it builds."""
    folder = tmp_path_factory.mktemp("tree")
    for path in ROOT.iterdir():
        if path.name in ARCHIVED:
            for file in _files(path):
                (folder / path.name / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path / file, folder / path.name / file)
        elif path.is_file() and not path.name.startswith("."):
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def wheels(tree, tmp_path_factory):
    """Both wheels, by the name of their distribution; nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheels")
    offline = ("--no-deps", "--no-build-isolation", "--no-index")
    _run(sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", folder, tree / "kernels", tree)
    return {name: next(folder.glob(f"{name.replace('-', '_')}-*.whl")) for name in SOURCES}


@pytest.fixture(scope="module")
def installed(wheels, tmp_path_factory):
    """Both distributions, each in an empty folder of its own."""
    found = {}
    for name, wheel in wheels.items():
        target = tmp_path_factory.mktemp(name)
        _run(
            sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-compile", "--target", target, wheel
        )
        (found[name],) = importlib.metadata.distributions(path=[str(target)])
    return found


def _top_levels(distribution: Distribution) -> set[str]:
    """Names in site-packages, but for the folder of metadata."""
    names = {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}
    return {name for name in names if not name.endswith(".dist-info")}


def test_each_distribution_installs_its_packages_whole(installed):
    for name, folders in SOURCES.items():
        expected = {f"{folder.name}/{file}" for folder in folders for file in _files(folder)}
        found = {file.as_posix() for file in installed[name].files}
        assert {file for file in found if not file.startswith((name.replace("-", "_") + "-0", ".."))} == expected
        assert {f"{folder.name}/py.typed" for folder in folders} <= found


def test_the_wheel_has_every_preset_and_the_command(installed):
    found = {str(file) for file in installed["tst-fast"].files if file.suffix == ".yaml"}
    assert found == {f"tst_fast/presets/{preset}.yaml" for preset in reading.presets()}
    assert [(point.name, point.value) for point in installed["tst-fast"].entry_points] == [
        ("tst-fast", "tst_fast.cli:main")
    ]


def test_versions_agree_and_dali_is_asked_for_by_its_cuda(installed):
    version = installed["tst-kernels"].version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version
    requirements = [Requirement(text) for text in installed["tst-fast"].requires]
    assert installed["tst-fast"].version == version
    assert [str(one.specifier) for one in requirements if one.name == "tst-kernels"] == [f"=={version}"]
    dali = {one.name: str(one.marker) for one in requirements if "dali" in one.name}
    assert sorted(dali) == ["nvidia-dali-cuda120", "nvidia-dali-cuda130"]
    for name, marker in dali.items():
        assert f'extra == "cuda{name[-3:-1]}"' in marker


def test_no_other_distribution_installs_a_name_of_ours(installed):
    """As Hugging Face's `kernels`, which transformers imports, once shared a folder with ours."""
    fast, kernels = _top_levels(installed["tst-fast"]), _top_levels(installed["tst-kernels"])
    assert (fast, kernels) == ({"tst_fast", "tst_pipelines"}, {"tst_kernels"})
    owners = importlib.metadata.packages_distributions()
    assert {owner for name in fast | kernels for owner in owners.get(name, ())} <= set(SOURCES)


def _link_requirements(distribution: Distribution, folder: Path) -> None:
    """Make what a distribution requires, and what that requires, visible in a folder; nothing else."""
    waiting, seen = list(distribution.requires or ()), set()
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(requirement.name)
        found = importlib.metadata.distribution(requirement.name)
        waiting += found.requires or ()
        for name in {file.parts[0] for file in found.files if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / name).exists():
                (folder / name).symlink_to(found.locate_file(name))


def test_the_kernels_alone_run_their_example(installed, tmp_path):
    """From an empty folder, beside what they require and nothing else."""
    target = installed["tst-kernels"].locate_file("")
    _link_requirements(installed["tst-kernels"], tmp_path)
    readme = (ROOT / "kernels/README.md").read_text(encoding="utf-8")
    example = "\n".join(re.findall(r"```python\n(.*?)```", readme, re.DOTALL))
    program = f"""{example}
import sys, tst_kernels
print(tst_kernels.__file__, tuple(mixed.shape), level.grad.abs().min().item() > 0)
print({{"numpy", "torchvision", "PIL", "tst_fast", "tst_pipelines"}} & set(sys.modules))
"""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{target}{os.pathsep}{tmp_path}"}
    # -S: without site-packages.
    where, alone = _run(sys.executable, "-S", "-c", program, cwd=tmp_path, env=environment).splitlines()
    assert where == f"{target}/tst_kernels/__init__.py (8, 3, 224, 224) True"
    assert alone == "set()"


def test_the_source_distribution_holds_what_a_developer_needs(tree, tmp_path):
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    _run(sys.executable, "-c", build, cwd=tree)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        found = {name.partition("/")[2] for name in file.getnames()}
    assert {f"{name}/{file}" for name in ARCHIVED for file in _files(tree / name)} <= found
    assert not any("/build/" in name or "egg-info/" in name for name in found if name.startswith("kernels/"))
    assert {"Makefile", "README.md", "LICENSE", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"} <= found


def _intact(distribution: Distribution) -> bool:
    """Whether every file is there as its RECORD has it."""
    for file in distribution.files:
        if file.hash is not None:
            digest = hashlib.new(file.hash.mode, file.locate().read_bytes()).digest()
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
                return False
    return True


@pytest.mark.long
@pytest.mark.parametrize("ours_first", [True, False])
def test_hugging_faces_kernels_installs_beside_ours(wheels, tmp_path, ours_first):
    """In either order, and what came second stays whole when the first goes. Needs the package index."""
    _run(sys.executable, "-m", "venv", tmp_path)
    pip = (tmp_path / "bin/python", "-m", "pip")
    groups = {True: list(wheels.values()), False: ["kernels"]}
    for ours in (ours_first, not ours_first):
        _run(*pip, "install", "--no-deps", *groups[ours])
    (site,) = (tmp_path / "lib").glob("python*/site-packages")
    found = {one.name: one for one in importlib.metadata.distributions(path=[str(site)])}
    ours, theirs = [found[name] for name in SOURCES], [found["kernels"]]
    assert all(map(_intact, ours + theirs))
    assert "kernels" in _top_levels(theirs[0])
    assert not _top_levels(theirs[0]) & set.union(*map(_top_levels, ours))
    _run(*pip, "uninstall", "--yes", *(SOURCES if ours_first else ["kernels"]))
    assert all(map(_intact, theirs if ours_first else ours))
