"""What the user sees, and what a run leaves to be read: progress, tables, metrics.jsonl and a plot of the policy."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from tst_fast.policy.alignment import Fit
from tst_fast.policy.policy import LearnedOperation

STAGES = {"teacher": "teacher learns", "search": "policy searches", "student": "student learns"}


class Reporter:
    """Progress bars and messages on the terminal, and metrics in a file; only the main process shows and writes.

    Args:
        folder: the run's folder.
        steps: of each stage in the whole run.
        active: whether this is the main process.
        transient: take the bars away at the end.
    """

    def __init__(self, folder: Path, steps: dict[str, int], active: bool = True, transient: bool = False) -> None:
        self.active = active
        self.console = Console(quiet=not active)
        self._file = (folder / "metrics.jsonl").open("a") if active else None
        columns = (
            TextColumn("{task.description:<15}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        # Without a terminal, bars are printed once, at the end.
        hidden = transient and not self.console.is_terminal
        self._progress = Progress(*columns, console=self.console, transient=transient, disable=hidden)
        self._tasks: dict[str, TaskID] = {
            stage: self._progress.add_task(STAGES[stage], total=total, note="", start=False)
            for stage, total in steps.items()
            if total
        }
        self._progress.start()

    def advance(self, stage: str, done: int, note: str | None = None) -> None:
        """Move a stage's bar to `done` steps."""
        task = self._tasks[stage]
        self._progress.start_task(task)
        self._progress.update(task, completed=done)
        if note is not None:
            self._progress.update(task, note=note)

    def metric(self, **values: Any) -> None:
        """Append one object to metrics.jsonl."""
        if self._file:
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()

    def position(self) -> int:
        """Bytes in metrics.jsonl, for `rewind`."""
        return self._file.tell() if self._file else 0

    def rewind(self, position: int) -> None:
        """Drop what was written to metrics.jsonl after `position`: a resumed run writes it again."""
        if self._file:
            self._file.truncate(position)
            self._file.seek(position)

    def say(self, message: str | Table) -> None:
        """Print above the bars."""
        self.console.print(message, highlight=False)

    def close(self) -> None:
        """Stop the bars and close the file. Closing twice is allowed."""
        self._progress.stop()
        if self._file:
            self._file.close()


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


def plot_policy(history: Sequence[Sequence[LearnedOperation]], file: Path) -> None:
    """Draw each operation's probability and level over the passes of the search, as a PNG.

    Args:
        history: what the policy knew before the search and after each of its passes.
        file: where to.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    probability, level = figure.subplots(1, 2, sharex=True)
    for i, row in enumerate(history[0]):
        style = {"label": row.operation, "color": f"C{i % 10}", "linestyle": ("-", "--")[i // 10]}
        probability.plot([rows[i].probability for rows in history], **style)
        if row.level is not None:
            level.plot([rows[i].level for rows in history], **style)
    lowest = -1 if any(row.level is not None and row.level < 0 for rows in history for row in rows) else 0
    for axes, title, bottom in ((probability, "probability", 0), (level, f"level, {lowest} to 1", lowest)):
        axes.set(title=title, xlabel="search passes", ylim=(bottom, 1))
        axes.grid(alpha=0.3)
    figure.legend(*probability.get_legend_handles_labels(), loc="outside right center")
    figure.savefig(file, dpi=120)


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


def write_alignment(fits: Mapping[str, Fit], folder: Path) -> None:
    """Each encoder's error over the level, beside that of doing nothing: encoders.json and encoders.png."""
    values = {operation: asdict(fit) for operation, fit in fits.items()}
    (folder / "encoders.json").write_text(json.dumps(values, indent=2) + "\n")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(4, len(fits))
    rows = -(-len(fits) // columns)
    figure = Figure(figsize=(3 * columns, 2.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (operation, fit) in zip(panels, fits.items(), strict=False):
        axes.plot(fit.levels, fit.encoder, label="encoder")
        axes.plot(fit.levels, fit.identity, "--", color="grey", label="doing nothing")
        axes.set(title=operation, xlabel="level")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    for axes in panels[len(fits) :]:
        axes.axis("off")
    panels[0].set_ylabel("mean squared error")
    panels[0].legend()
    figure.savefig(folder / "encoders.png", dpi=120)
