"""What was measured, and on what: rows in a JSON file that is whole after each of them."""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent / "results"
Row = dict[str, Any]


class Results:
    """The rows of one measurement, written to a file as soon as they are known.

    Args:
        about: what the rows were measured on and how, by name.
        file: JSON; its folder is made. None: the rows are kept, and written nowhere.
        rows: those that are there already.
    """

    def __init__(self, about: Mapping[str, Any], file: Path | None, rows: list[Row] | None = None) -> None:
        self.about, self.file, self.rows = dict(about), file, rows or []
        self.save()

    @classmethod
    def read(cls, file: Path) -> "Results":
        """Go on with a file."""
        about = json.loads(file.read_text(encoding="utf-8"))
        return cls(about, file, about.pop("rows"))

    def add(self, row: Row) -> None:
        """One row more."""
        self.rows.append(row)
        self.save()

    def save(self) -> None:
        """Write the file anew."""
        if self.file is not None:
            write_whole(self.file, {**self.about, "rows": self.rows})


def write_whole(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON aside and then in its place: it is never there in part. The folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(aside, file)


def machine(*packages: str) -> dict[str, Any]:
    """What a figure must name: the command, processor, threads, GPU, versions of torch and of `packages`."""
    cuda = torch.cuda.is_available()
    return {
        "command": _command(),
        "python": platform.python_version(),
        "processor": f"{_processor()} ({torch.backends.cpu.get_cpu_capability()})",
        "threads": torch.get_num_threads(),
        "load_average_before": round(os.getloadavg()[0], 1),  # other programs cost time
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "cuda": torch.version.cuda if cuda else None,
        "driver": _driver() if cuda else None,
        "versions": {name: version for name in ("torch", *packages) if (version := version_of(name))},
    }


def version_of(package: str) -> str | None:
    """Of an installed distribution; None where it is missing."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def _command() -> str:
    """As it was called; folders of this machine by their last name alone."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    specification = sys.modules["__main__"].__spec__
    name = "benchmarks" if specification is None else specification.name.removesuffix(".__main__")
    return " ".join(["python -m", name, *words])


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _driver() -> str | None:
    """Version of NVIDIA's, as its kernel module tells it."""
    info = Path("/proc/driver/nvidia/version")
    found = re.search(r"Kernel Module\s.*?([\d.]{5,})", info.read_text()) if info.exists() else None
    return found[1] if found else None


def columns_of(rows: list[Row]) -> list[str]:
    """Every column that a row has, in the order of their first use."""
    return list(dict.fromkeys(column for row in rows for column in row))


def cell(value: object) -> str:
    """A value as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {cell(one)}" for key, one in value.items())
    return "" if value is None else str(value)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What benchmarks of several tables on a CPU can be told."""
    parser.add_argument("--threads", type=int, default=2, help="of torch, and of the loaders")
    parser.add_argument("--seconds", type=float, default=0.7, help="how long each loader is timed in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the rows here")


def measure(tables: Mapping[str, Callable[[], list[Row]]], results: Results) -> None:
    """Make each table, keep its rows and print them."""
    for title, make in tables.items():
        rows = make()
        for row in rows:
            results.add({"table": title, **row})
        show(title, rows)


def step_rows(seconds: Mapping[str, Sequence[float]], images: int) -> list[Row]:
    """Medians of steps, in milliseconds, one of which is the "student step" that the others are compared with.

    Args:
        seconds: of each round, by the step's name.
        images: of a step.
    """
    median = {name: statistics.median(times) for name, times in seconds.items()}
    return [
        {
            "name": name,
            "images": images,
            "milliseconds": 1000 * median[name],
            "least": 1000 * min(times),
            "most": 1000 * max(times),
            "ratio_to_student_step": median[name] / median["student step"],
        }
        for name, times in seconds.items()
    ]


def show(title: str, rows: list[Row]) -> None:
    """Print the rows as a table."""
    table = Table(title=title, title_justify="left")
    columns = columns_of(rows)
    for column in columns:
        is_text = any(isinstance(row.get(column), str) for row in rows)
        table.add_column(column.replace("_", " "), justify="left" if is_text else "right")
    for row in rows:
        table.add_row(*(cell(row.get(column)) for column in columns))
    Console(width=max(120, Console().width)).print(table)
