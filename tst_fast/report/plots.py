"""Figures in a run's folder: the policy over the search, and the fit of the encoders of a neural prior."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tst_fast.policy.alignment import Fit
from tst_fast.policy.file import LearnedOperation
from tst_pipelines.writing import write_text_whole


def plot_policy(history: Sequence[Sequence[LearnedOperation]], file: Path) -> None:
    """Plot each operation's probability and level over the passes of the search, as a PNG.

    Args:
        history: the policy before the search and after each of its passes.
        file: path of the PNG.
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


def write_alignment(fits: Mapping[str, Fit], folder: Path) -> None:
    """Write encoders.json and encoders.png: each encoder's error by level, and that of the identity."""
    values = {operation: asdict(fit) for operation, fit in fits.items()}
    write_text_whole(folder / "encoders.json", json.dumps(values, indent=2) + "\n")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(4, len(fits))
    rows = -(-len(fits) // columns)
    figure = Figure(figsize=(3 * columns, 2.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (operation, fit) in zip(panels, fits.items(), strict=False):
        axes.plot(fit.levels, fit.encoder, label="encoder")
        axes.plot(fit.levels, fit.identity, "--", color="grey", label="identity")
        axes.set(title=operation, xlabel="level")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    for axes in panels[len(fits) :]:
        axes.axis("off")
    panels[0].set_ylabel("mean squared error")
    panels[0].legend()
    figure.savefig(folder / "encoders.png", dpi=120)
