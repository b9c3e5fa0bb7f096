"""The page: its sections on runs and comparisons, laid out by template.html.jinja."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from tst_fast import __version__
from tst_fast.errors import writing
from tst_fast.report.html import sections
from tst_fast.report.html.data import Comparison, Run, read_folders
from tst_fast.report.metrics import SearchEnded


def write_report(folders: Sequence[Path], file: Path) -> None:
    """Write one page on the folders of runs and comparisons.

    Args:
        folders: of runs, finished or not, and of comparisons by `tst-fast compare`.
        file: path of the page.

    Raises:
        UserError: a folder is none of these, was left by another version of the program, or the file cannot be written.
    """
    page = render(*read_folders(folders))
    with writing(file, "--output"):
        file.write_text(page, encoding="utf-8")


def render(runs: Sequence[Run], comparisons: Sequence[Comparison]) -> str:
    """The page as HTML.

    Args:
        runs: shown individually.
        comparisons: shown first; then those of their runs with a learned policy, or all if there is none.
    """
    in_arms = [run for one in comparisons for arm in one.runs.values() for run in arm]
    learned = [run for run in in_arms if run.of(SearchEnded)]
    shown = [*runs, *(learned or in_arms)]
    found = [sections.comparison(one) for one in comparisons] + [section(shown) for section in sections.OF_RUNS]
    names = [*(run.label for run in runs), *(one.label for one in comparisons)]
    environment = Environment(
        loader=PackageLoader("tst_fast.report", "html"), autoescape=True, undefined=StrictUndefined
    )
    template = environment.get_template("template.html.jinja")
    return template.render(names=names, sections=found, plotly=get_plotlyjs(), version=__version__)
