"""Charts of results: what steps take, stage by stage, and their floors."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results import Row
from benchmarks.training.stages import STAGES

FLOORS = {"arithmetic": "black", "memory": "gold"}
PARTS = (*STAGES, "rest")
HEIGHT, HEAD, WIDTH = 0.3, 1.0, 9.0  # inches: of a bar, of what is around the bars of a pair, of the chart


def draw_steps(rows: Sequence[Row], file: Path) -> bool:
    """Write a chart of the steps among rows, a panel for each pair; whether there are any.

    Args:
        rows: of `benchmarks.training`, among others.
        file: PNG.
    """
    steps = [row for row in rows if "pair" in row and "milliseconds" in row]
    if not steps:
        return False
    panels: dict[str, list[Row]] = {}
    for row in steps:
        panels.setdefault(f"{row['pair']}, {row['precision']}", []).append(row)
    heights = [HEAD + HEIGHT * len(panel) for panel in panels.values()]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for one, (title, panel) in zip(axes, panels.items(), strict=True):
        _draw_panel(one, title, panel)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize="small")
    figure.savefig(file, dpi=100, metadata={"Software": None})  # the same bytes with the next release of Matplotlib
    return True


def _draw_panel(axes: Axes, title: str, rows: Sequence[Row]) -> None:
    """A bar for each step, of milliseconds an image that the student sees; floors as ticks across it."""
    places = range(len(rows))
    left = [0.0] * len(rows)
    for number, part in enumerate(PARTS):
        widths = [max(row.get(f"{part}_ms", 0.0), 0.0) / row["images"] for row in rows]
        axes.barh(places, widths, left=left, color=f"C{number}", label=part)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for name, colour in FLOORS.items():
        known = [(place, row) for place, row in enumerate(rows) if f"{name}_floor_ms" in row]
        at = [row[f"{name}_floor_ms"] / row["images"] for _, row in known]
        low, high = ([place + end for place, _ in known] for end in (-0.4, 0.4))
        axes.vlines(at, low, high, colors=colour, linewidth=2, label=f"floor of {name}")
    axes.set_title(title, loc="left", fontsize="medium")
    axes.set_yticks(places, [_named(row) for row in rows], fontsize="small")
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("ms an image", fontsize="small")


def _named(row: Row) -> str:
    changed = [row["weights"]] * (row["weights"] != "contiguous") + ["compiled"] * row["compiled"]
    return ", ".join([f"{row['step']} ({row['data']})", *changed])
