"""What metrics.jsonl holds, read as plain JSON."""

import json
from pathlib import Path
from typing import Any

MEASURED = ("images_per_second", "search_share", "seconds", "memory")
"""Of the machine: never twice the same."""


def events_of(folder: Path, *kinds: str) -> list[dict[str, Any]]:
    """The events of a run, or those of these kinds, without what was measured of the machine."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in MEASURED}
        for line in lines
        if not kinds or line["event"] in kinds
    ]
