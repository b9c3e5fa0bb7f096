"""Lay tst_kernels out as Hugging Face's kernel hub has it, to be loaded by its package `kernels` from wherever it lies.

    python kernels/build_for_hub.py FOLDER

A kernel of the hub is a copy of a package for each backend, named by its content, so that several versions of it work
in one process: it imports its own modules relatively, and its operators have a namespace of their own. Nothing is
compiled, since Triton and PyTorch do that when it is used, and so the copies differ in their name alone. Uploading is
left to `hf upload`.

The layout: https://huggingface.co/docs/kernels/kernel-requirements
"""

import argparse
import ast
import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE / "tst_kernels"
BACKENDS = ("cpu", "cuda", "rocm")
OPERATORS = '"fused_augmentation::'
"""What the names of the operators begin with in the source."""
OWN = re.compile(r"^(\s*)from tst_kernels(?:\.([\w.]+))? import ", re.MULTILINE)


def relative(source: str, depth: int) -> str:
    """A module's source with its imports of the package made relative.

    Args:
        source: of the module.
        depth: folders between the package's and the module.

    Raises:
        ValueError: an import of the package that cannot be made so is left.
    """
    moved = OWN.sub(lambda found: f"{found[1]}from {'.' * (depth + 1)}{found[2] or ''} import ", source)
    for node in ast.walk(ast.parse(moved)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names.append(node.module or "")
        if left := [name for name in names if name.split(".")[0] == "tst_kernels"]:
            raise ValueError(f"line {node.lineno}: import {left[0]} by `from tst_kernels... import`")
    return moved


def build(folder: Path) -> list[Path]:
    """Write build/VARIANT for each backend, README.md and LICENSE into a folder.

    Returns:
        The variants' folders.

    Raises:
        FileExistsError: the folder has a `build` already.
    """
    files = {file.relative_to(PACKAGE): file.read_text(encoding="utf-8") for file in sorted(PACKAGE.rglob("*.py"))}
    version = re.search(r'__version__ = "(\d+)\.', files[Path("__init__.py")])
    assert version is not None
    variants = []
    for backend in BACKENDS:
        name = f"tst_kernels_{backend}_{hashlib.sha256(repr(files).encode()).hexdigest()[:12]}"
        variant = folder / "build" / f"torch-{backend}"
        variant.mkdir(parents=True)
        for file, source in files.items():
            text = relative(source, len(file.parts) - 1).replace(OPERATORS, f'"{name}::')
            (variant / file).parent.mkdir(exist_ok=True)
            (variant / file).write_text(text, encoding="utf-8")
        about = {"id": name, "name": "tst-kernels", "version": int(version[1]), "license": "Apache-2.0"}
        about |= {"python-depends": [], "backend": {"type": backend}}
        (variant / "metadata.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        variants.append(variant)
    card = "---\nlibrary_name: kernels\nlicense: apache-2.0\n---\n\n" + (HERE / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")
    shutil.copy(HERE / "LICENSE", folder)
    return variants


def main(arguments: Sequence[str] | None = None) -> None:
    """Build into the folder that is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to; without a folder build in it")
    folder = parser.parse_args(arguments).folder
    if (folder / "build").exists():
        parser.error(f"{folder} has a build already: remove it, or name another folder")
    for variant in build(folder):
        print(variant)


if __name__ == "__main__":
    main()
