"""Results as Markdown: a table, and the page of a JSON file."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.results import cell, columns_of
from tst_fast.report.comparison_tables import percent

NUMBER = re.compile(r"\W*|\W*\d.*")
GROUPS = ("part", "table", "pair")
"""Columns whose values become headings."""
Result = Mapping[str, Any]


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Markdown, numbers to the right."""
    header, body = list(header), [list(row) for row in rows]
    is_number = (all(NUMBER.fullmatch(value) for value in column) for column in zip(*body, strict=True))
    lines = [header, ["---:" if number else "---" for number in is_number], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown(result: Result) -> str:
    """What is beside a JSON file: what it was measured on, then its rows, a table for each part."""
    about = {name: value for name, value in result.items() if name not in ("rows", "arms") and value not in (None, {})}
    lines = ["\n".join(f"- {name.replace('_', ' ')}: {_listed(value)}" for name, value in about.items())]
    if "arms" in result:
        lines.append(_arms(result["arms"]))
    rows = result.get("rows", [])
    group = next((name for name in GROUPS if any(name in row for row in rows)), None)
    for title in dict.fromkeys(row.get(group) for row in rows):
        part = [{key: value for key, value in row.items() if key != group} for row in rows if row.get(group) == title]
        lines += [] if title is None else [f"### {title}"]
        columns = columns_of(part)
        body = ([cell(row.get(column)).replace("|", "/") for column in columns] for row in part)
        lines.append(table((column.replace("_", " ") for column in columns), body))
    return "\n\n".join(lines) + "\n"


def _listed(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else cell(value)


def _arms(arms: Mapping[str, Any]) -> str:
    """Accuracies of a comparison of ways to train, in %, each with every seed's; and what its policies learned."""
    rows = ([name, _accuracy(arm["last"]), _accuracy(arm["best"])] for name, arm in arms.items())
    parts = [table(("arm", "last epoch", "best epoch"), rows)]
    policies = [
        [name, cell(arm["agreement"]), _sorted(arm["probabilities"])]
        for name, arm in arms.items()
        if "agreement" in arm
    ]
    if policies:
        parts.append(table(("arm", "agreement of its seeds' policies", "mean probabilities"), policies))
    return "\n\n".join(parts)


def _sorted(probabilities: Mapping[str, float]) -> str:
    """From the likeliest operation down."""
    down = sorted(probabilities.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {probability:.2f}" for name, probability in down)


def _accuracy(result: Result) -> str:
    return f"{percent(result)} ({', '.join(f'{100 * run:.2f}' for run in result['runs'])})"
