"""Writes the report at the end of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tst_fast.report.console import say
from tst_fast.report.observer import Observer

if TYPE_CHECKING:
    from tst_fast.policy.file import LearnedOperation


class ReportWriter(Observer):
    """Writes report.html at the end of a run, and prints its path."""

    def ended(self, result: Mapping[str, Any], history: Sequence[Sequence["LearnedOperation"]], folder: Path) -> None:
        """Write it: everything else is in the folder by now."""
        say(Console(), report_at_the_end(folder))


def report_at_the_end(folder: Path) -> str:
    """Write report.html into the folder of a finished run or comparison; returns a message: its path, or the error."""
    try:
        from tst_fast.report.html.page import write_report  # here, so that not even a broken Plotly stops a run

        write_report([folder], folder / "report.html")
    except Exception as error:  # whatever it is, what was trained for days is kept
        return f"warning: no report was written: {type(error).__name__}: {error}"
    return f"the report is {folder / 'report.html'}"
