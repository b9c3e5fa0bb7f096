"""What the user sees while a run goes on, and at its end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from tst_fast.policy.alignment import Fit
from tst_fast.policy.file import LearnedOperation
from tst_fast.report.metrics import Evaluated, Event, PassEnded, SearchEnded, StepsTaken
from tst_fast.report.observer import Observer, Opening

STAGES = {"teacher": "teacher learns", "search": "policy searches", "student": "student learns"}
SHOWN_GAPS = 5


class Terminal(Observer):
    """Progress bars, tables and the result.

    Args:
        quiet: show bars alone, and take them away at the end.
        dry: the run takes two steps of everything: its scores mean nothing.
    """

    def __init__(self, quiet: bool = False, dry: bool = False) -> None:
        self.quiet, self.dry = quiet, dry
        self.console = Console()
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._titles: Mapping[str, str] = {}

    def opened(self, opening: Opening) -> None:
        """Say what there is to learn from, and start the bars."""
        self._titles = opening.titles
        if not self.quiet:
            train, test = opening.images
            if not self.dry:
                self._say(f"everything goes to {opening.folder}")
            self._say(f"{train:,} training and {test:,} test images, by {opening.loader}")
            if opening.fits:
                self._say(alignment_table(opening.fits))
        columns = (
            TextColumn("{task.description:<15}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        # Without a terminal, bars are printed once, at the end.
        hidden = self.quiet and not self.console.is_terminal
        self._progress = Progress(*columns, console=self.console, transient=self.quiet, disable=hidden)
        self._tasks = {
            stage: self._progress.add_task(title, total=opening.steps[stage], note="", start=False)
            for stage, title in STAGES.items()
            if opening.steps[stage]
        }
        self._progress.start()

    def noticed(self, message: str) -> None:
        """Say it, even if quiet."""
        self._say(f"warning: {message}")

    def event(self, event: Event) -> None:
        """Move the stage's bar."""
        match event:
            case StepsTaken() if event.stage in self._tasks:
                task = self._tasks[event.stage]
                self._bars.start_task(task)
                self._bars.update(task, completed=event.stage_step, note=f"{event.images_per_second:,.0f} images/s")
            case SearchEnded() if not self.quiet:
                for warning in event.warnings:
                    self.noticed(warning)
            case PassEnded():
                self._bars.update(self._tasks[event.stage], note=f"{event.images_per_second:,.0f} images/s")
            case Evaluated() if event.role == event.stage and event.role in self._tasks:
                name, title = next(iter(self._titles.items()))
                task = self._bars.tasks[self._tasks[event.role]]
                rate = task.fields["note"].partition(",")[0]
                self._bars.update(task.id, note=f"{rate}, {title} {100 * event.scores[name]:.1f} %")

    def ended(self, result: Mapping[str, Any], history: Sequence[Sequence[LearnedOperation]], folder: Path) -> None:
        """Stop the bars, and show what came out."""
        self.close()
        if self.quiet:
            return
        if len(history) > 1:
            self._say(policy_table(history[0], history[-1]))
            self._say(f"the search took {100 * result['search_share']:.0f} % of its and the student's time")
        if not self.dry:
            self._show_scores(result)
        kept = "two steps of everything went well; nothing is kept" if self.dry else f"everything is in {folder}"
        self._say(f"{result['wall_seconds']:.0f} s; {kept}")

    def close(self) -> None:
        """Stop the bars."""
        if self._progress is not None:
            self._progress.stop()

    @property
    def _bars(self) -> Progress:
        assert self._progress is not None  # events come after `opened`
        return self._progress

    def _show_scores(self, result: Mapping[str, Any]) -> None:
        for role in ("teacher", "student"):
            for name, title in self._titles.items():
                if name in (result[role] or ()):
                    score = 100 * result[role][name]
                    self._say(f"{role} {title} on {result['test_images']:,} test images: {score:.2f} %")
        if result["held_out_gaps"]:
            pairs = [
                [100 * gap[name]["gap"] for name in ("trained", "untrained")]
                for gap in result["held_out_gaps"][-SHOWN_GAPS:]
            ]
            self._say(
                "confidence on augmented test images, teacher's minus student's, in points, after each search (in "
                f"brackets: untrained policy): {', '.join(f'{after:.1f} ({before:.1f})' for after, before in pairs)}"
            )

    def _say(self, message: str | Table) -> None:
        # Names of files may look like markup, and must not be broken, for they are copied.
        self.console.print(message, highlight=False, markup=False, soft_wrap=isinstance(message, str))


def policy_table(before: Sequence[LearnedOperation], after: Sequence[LearnedOperation]) -> Table:
    """Probability and magnitude of each operation, before and after."""
    table = Table(title="What the policy learned", title_justify="left")
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
    """How well each encoder follows its operation."""
    title = "Mean squared error of the encoders, pixels in 0..1, mean over the levels"
    table = Table(title=title, title_justify="left")
    for name in ("operation", "encoder", "doing nothing", "share left"):
        table.add_column(name, justify="left" if name == "operation" else "right")
    for operation, fit in fits.items():
        encoder, identity = (sum(errors) / len(errors) for errors in (fit.encoder, fit.identity))
        # On grey images Color does nothing, but for rounding.
        share = f"{100 * encoder / identity:.1f} %" if identity > 1e-8 else ""
        table.add_row(operation, f"{encoder:.5f}", f"{identity:.5f}", share)
    return table
