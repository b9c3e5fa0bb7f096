"""Terminal output of a run: progress, tables and results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tst_fast.policy.alignment import Fit
from tst_fast.policy.file import LearnedOperation
from tst_fast.report.bars import Bars
from tst_fast.report.console import say, shows_bars
from tst_fast.report.lines import Lines
from tst_fast.report.metrics import Event, SearchEnded
from tst_fast.report.observer import Observer, Opening

SHOWN_GAPS = 5


class Terminal(Observer):
    """Prints progress as bars or lines, tables and results.

    Args:
        quiet: print no tables and no results, and remove bars at the end.
        dry: the run takes two steps of everything: its scores are meaningless.
    """

    def __init__(self, quiet: bool = False, dry: bool = False) -> None:
        self.quiet, self.dry = quiet, dry
        self.console = Console()
        self._going: Observer = Bars(self.console, quiet) if shows_bars(self.console) else Lines(self.console)
        self._titles: Mapping[str, str] = {}

    def opened(self, opening: Opening) -> None:
        """Print where the run writes to, and the size of its data."""
        self._titles = opening.titles
        if not self.quiet:
            train, test = opening.images
            if not self.dry:
                say(self.console, f"output folder: {opening.folder}")
            say(self.console, f"{train:,} training and {test:,} test images, loaded by {opening.loader}")
            if opening.fits:
                self.console.print(alignment_table(opening.fits))
        self._going.opened(opening)

    def noticed(self, message: str) -> None:
        """Print a warning, even if quiet."""
        say(self.console, f"warning: {message}")

    def event(self, event: Event) -> None:
        """Show the progress, and warnings about a search."""
        self._going.event(event)
        if isinstance(event, SearchEnded) and not self.quiet:
            for warning in event.warnings:
                self.noticed(warning)

    def ended(self, result: Mapping[str, Any], history: Sequence[Sequence[LearnedOperation]], folder: Path) -> None:
        """Print the results."""
        self.close()
        if self.quiet:
            return
        if len(history) > 1:
            self.console.print(policy_table(history[0], history[-1]))
            say(
                self.console,
                f"the search took {100 * result['search_share']:.0f} % of the time of search and student training",
            )
        if not self.dry:
            self._show_scores(result)
        kept = "two steps of everything went well; nothing is kept" if self.dry else f"everything is in {folder}"
        say(self.console, f"{result['wall_seconds']:.0f} s; {kept}")

    def close(self) -> None:
        """Stop the bars. Closing twice is allowed."""
        self._going.close()

    def _show_scores(self, result: Mapping[str, Any]) -> None:
        for role in ("teacher", "student"):
            for name, title in self._titles.items():
                if name in (result[role] or ()):
                    score = 100 * result[role][name]
                    say(self.console, f"{role} {title} on {result['test_images']:,} test images: {score:.2f} %")
        if result["held_out_gaps"]:
            pairs = [
                [100 * gap[name]["gap"] for name in ("trained", "untrained")]
                for gap in result["held_out_gaps"][-SHOWN_GAPS:]
            ]
            say(
                self.console,
                "confidence gap on augmented test images after each search (teacher minus student, in points; "
                f"untrained policy in brackets): {', '.join(f'{after:.1f} ({before:.1f})' for after, before in pairs)}",
            )


def policy_table(before: Sequence[LearnedOperation], after: Sequence[LearnedOperation]) -> Table:
    """Probability and magnitude of each operation before and after the search."""
    table = Table(title="Learned policy, before and after the search", title_justify="left")
    for name in ("operation", "probability", "magnitude"):
        table.add_column(name, justify="left" if name == "operation" else "right")
    table.add_column("unit")
    for old, new in zip(before, after, strict=True):
        probability = f"{old.probability:.2f} → {new.probability:.2f}"
        magnitude = "" if new.magnitude is None else f"{_magnitude(old)} → {_magnitude(new)}"
        table.add_row(new.operation, probability, magnitude, new.unit)
    return table


def _magnitude(row: LearnedOperation) -> str:
    return f"{'±' if row.signed else ''}{row.magnitude:.3g}"


def alignment_table(fits: Mapping[str, Fit]) -> Table:
    """How well each encoder of a neural prior approximates its operation."""
    title = "Mean squared error of the encoders (pixels in 0..1, mean over levels)"
    table = Table(title=title, title_justify="left")
    for name in ("operation", "encoder", "identity", "encoder / identity"):
        table.add_column(name, justify="left" if name == "operation" else "right")
    for operation, fit in fits.items():
        encoder, identity = (sum(errors) / len(errors) for errors in (fit.encoder, fit.identity))
        # On grey images Color does nothing, but for rounding.
        share = f"{100 * encoder / identity:.1f} %" if identity > 1e-8 else ""
        table.add_row(operation, f"{encoder:.5f}", f"{identity:.5f}", share)
    return table
