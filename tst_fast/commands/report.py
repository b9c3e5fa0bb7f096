"""`tst-fast report`: what runs and comparisons found, as one HTML file that needs nothing else."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tst_fast.errors import errors_as_messages
from tst_fast.report.html.page import write_report


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the folders, write the page, and say where."""
    parser = argparse.ArgumentParser("tst-fast report", description="Show runs and comparisons in one HTML file.")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run, or of `tst-fast compare`")
    parser.add_argument(
        "--output",
        type=Path,
        help="HTML file (default: report.html in RUN if only one is given, else in the current folder)",
    )
    given = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    output = given.output or (given.runs[0] / "report.html" if len(given.runs) == 1 else Path("report.html"))
    with errors_as_messages():
        write_report(given.runs, output)
    print(f"the report is {output}")
