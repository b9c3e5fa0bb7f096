"""The report that every run writes at its end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tst_fast.report.console import say
from tst_fast.report.observer import Observer

if TYPE_CHECKING:
    from tst_fast.policy.file import LearnedOperation


class ReportWriter(Observer):
    """Writes report.html when the run is over, and says where."""

    def ended(self, result: Mapping[str, Any], history: Sequence[Sequence["LearnedOperation"]], folder: Path) -> None:
        """Write it: by now, all else is in the folder."""
        say(Console(), report_at_the_end(folder))


def report_at_the_end(folder: Path) -> str:
    """Write report.html into the folder of a run or a comparison that is over; says where, or why it is not there."""
    try:
        from tst_fast.report.html.page import write_report  # here, so that not even a broken Plotly stops a run

        write_report([folder], folder / "report.html")
    except Exception as error:  # whatever it is, what was trained for days is kept
        return f"warning: no report was written: {type(error).__name__}: {error}"
    return f"the report is {folder / 'report.html'}"
