"""Who may import whom, and how long a file may be."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {"tst_fast": "tst_fast", "tst_kernels": "kernels/tst_kernels", "tst_pipelines": "pipelines/tst_pipelines"}
# A room of tst_fast imports rooms of earlier tiers and itself; those of the first import nothing of it.
TIERS = (
    {"rank_errors", "signals"},
    {"errors", "losses", "ranks"},
    {"config"},
    {"models"},
    {"policy"},
    {"tasks"},
    {"report"},
    {"run"},
    {"commands", "train", "cli", "tst"},
    {"__init__", "__main__"},
)
TASKS = {folder.name for folder in (ROOT / "tst_fast/presets").iterdir()}
OF_ANY_TASK = {"report", "run", "commands", "train", "cli"}  # of tasks, they know the protocol and `make_task`

LONG = {"kernels/tst_kernels/fused/families.py"}


def _sources(*folders: str) -> Iterator[tuple[str, str]]:
    """Each Python file, by its path from the root, with its content."""
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")


def _imports(source: str) -> Iterator[str]:
    """What a module imports, wherever in it, as dotted names down to what is taken; ruff refuses relative imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(file: str) -> str:
    return file.split("/")[1].removesuffix(".py")


def _tier(room: str) -> int:
    return next(i for i, rooms in enumerate(TIERS) if room in rooms)


def test_rooms_import_in_one_direction():
    found = set()
    for file, source in _sources("tst_fast"):
        for name in _imports(source):
            package, other = f"{name}.__init__".split(".")[:2]
            inside = package == "tst_fast" and other not in ("__version__", _room(file))
            if inside and _tier(other) >= _tier(_room(file)):
                found.add((file, name))
    assert found == set()


def test_who_runs_any_task_names_none():
    known = {path.stem for path in (ROOT / "tst_fast/tasks").iterdir()} - TASKS | {"make_task"}
    found = set()
    for file, source in _sources("tst_fast"):
        if _room(file) not in OF_ANY_TASK:
            continue
        for package, *inner in (name.split(".") for name in _imports(source)):
            by_name = inner[:1] == ["tasks"] and not known & set(inner[1:2])
            if package == "tst_fast" and (by_name or TASKS & set(inner)):
                found.add((file, ".".join([package, *inner])))
        values = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
        found |= {(file, value) for value in values if value in TASKS}
    assert found == set()


def _without_docstrings(source: str) -> str:
    lines = source.split("\n")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(lines)


def test_accuracy_is_the_business_of_tasks():
    code = {file: _without_docstrings(source) for file, source in _sources("tst_fast") if _room(file) != "tasks"}
    for file in sorted((ROOT / "tst_fast/presets").rglob("*.yaml")):
        code[file.name] = re.sub("#.*", "", file.read_text(encoding="utf-8"))
    assert [file for file, text in code.items() if re.search(r"\baccuracy\b", text)] == []


def test_kernels_and_pipelines_know_nothing_of_the_others():
    for package in ("tst_kernels", "tst_pipelines"):
        others = tuple(f"{name}." for name in PACKAGES if name != package)
        for file, source in _sources(PACKAGES[package]):
            assert [name for name in _imports(source) if f"{name}.".startswith(others)] == [], file


def test_no_package_is_imported_by_the_name_of_its_folder():
    """Those names are other distributions': Hugging Face's `kernels`, for one."""
    for file, source in _sources(*PACKAGES.values(), "tests", "benchmarks", "examples"):
        assert {"kernels", "pipelines"} & {name.split(".")[0] for name in _imports(source)} == set(), file


def test_no_file_is_too_long():
    limits = {**dict.fromkeys([*PACKAGES.values(), "benchmarks", "examples"], 350), "tests": 400}
    lengths = {file: (source.count("\n"), limit) for name, limit in limits.items() for file, source in _sources(name)}
    assert {file for file, (lines, limit) in lengths.items() if lines > limit} == LONG
