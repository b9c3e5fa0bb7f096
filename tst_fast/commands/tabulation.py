"""The table of a group: what its comparisons have found so far, beside what others have published."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tst_fast.commands.groups import Row
from tst_fast.commands.paired import summary
from tst_fast.report.comparison_tables import percent
from tst_fast.report.html.page import write_report
from tst_pipelines.writing import write_text_whole


def write_table(rows: Sequence[Row], folder: Path) -> str:
    """Write table.json, table.md and report.html of all rows that have results; returns table.md.

    Args:
        rows: of the group.
        folder: holds a folder for each row, as `Comparison` leaves it.
    """
    folder.mkdir(parents=True, exist_ok=True)  # a part may have no pair
    table = {row.name: _entry(row, content) for row in rows if (content := _read(folder / row.name))}
    write_text_whole(folder / "table.json", json.dumps(table, indent=2) + "\n")
    text = _markdown(table)
    write_text_whole(folder / "table.md", text)
    if table:
        write_report([folder / name for name in table], folder / "report.html")
    missing = [row.name for row in rows if row.name not in table]
    return text + (f"\nnothing yet of {', '.join(missing)}\n" if missing else "") + f"\neverything is in {folder}"


def _read(folder: Path) -> dict[str, Any] | None:
    """What is known of a row; None before its first result."""
    file = folder / "compare.json"
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return content if content.get("arms") else None


def _entry(row: Row, content: dict[str, Any]) -> dict[str, Any]:
    """Scores in 0..1 as compare.json has them, the teacher's, and published ones in %."""
    metric = content["metric"]
    teachers = [run["teacher"][metric] for runs in content["runs"].values() for run in runs if run["teacher"]]
    return {
        "metric": metric,
        "teacher": summary(teachers[:1]) if teachers else None,
        "arms": {arm: values["last"] for arm, values in content["arms"].items()},
        "differences": content["differences"],
        "published": dict(row.published),
    }


def _markdown(table: dict[str, Any]) -> str:
    """Our columns, then those of others; of the last epoch, in %, with the standard deviation over seeds."""
    arms = list(dict.fromkeys(arm for entry in table.values() for arm in entry["arms"]))
    methods = list(dict.fromkeys(name for entry in table.values() for name in entry["published"]))
    header = ["", "metric", "teacher", *arms, *(f"published: {name}" for name in methods)]
    lines = [header, ["---", "---", *["---:"] * (len(header) - 2)]]
    for name, entry in table.items():
        scores = [entry["teacher"], *(entry["arms"].get(arm) for arm in arms)]
        published = (f"{entry['published'][one]:.2f}" if one in entry["published"] else "-" for one in methods)
        lines.append([name, entry["metric"], *("-" if one is None else percent(one) for one in scores), *published])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
