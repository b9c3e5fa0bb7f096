"""Whether two runs ended alike."""

from pathlib import Path
from typing import Any

from tests.kills import differing
from tests.tst_fast.events import events_of


def assert_same_run(folder: Path, result: dict[str, Any], other: Path, expected: dict[str, Any]) -> None:
    """Networks and policy to the bit, events but for what a clock measured, and scores."""
    assert differing(folder, other) == []
    assert events_of(folder) == events_of(other)
    for key in ("teacher", "student", "student_best", "held_out_gaps"):
        assert result[key] == expected[key], key
