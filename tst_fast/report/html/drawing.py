"""Common style of the report's figures, and thinning of long curves."""

import html
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import plotly.graph_objects as go

COLOURS = ("#2f7fd1", "#e0701b", "#1a9e77", "#c4579e", "#b8860b", "#4fa9c9", "#9467bd", "#8c6d5a", "#d13b40", "#6b9b1e",
           "#5b63d6", "#5f7d8c")  # fmt: skip
"""Legible on white and on black; the first eight are distinguishable with the common kinds of colour blindness."""
OF_ROLE = {"student": COLOURS[0], "teacher": COLOURS[1], "search": COLOURS[2]}
FAINT = "rgba(136,136,136,0.3)"
POINTS = 800
"""Most points of all curves of a figure together."""
CURVES = len(COLOURS)
"""Most runs that have a curve in a figure, each of its own colour."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Drawing:
    """A figure with its title.

    Attributes:
        title: plain text.
        figure: Plotly's.
        wide: whether it has the full width of the page.
        note: plain text below the title.
    """

    title: str
    figure: go.Figure
    wide: bool = False
    note: str = ""

    def html(self) -> str:
        """The figure as a `<div>` and the script that draws it with the Plotly of the page."""
        settings = {"responsive": True, "displaylogo": False, "displayModeBar": False}
        return self.figure.to_html(full_html=False, include_plotlyjs=False, config=settings)


def drawing(
    title: str,
    traces: Iterable[Any],
    x: str = "",
    y: str = "",
    height: int = 300,
    wide: bool = False,
    **layout: Any,
) -> Drawing | None:
    """A figure of these traces, its title capitalised; None if there are none.

    Args:
        title: plain text.
        traces: Plotly's.
        x: title of the axis.
        y: title of the axis.
        height: in pixels.
        wide: whether it has the full width of the page.
        layout: Plotly's further settings.
    """
    traces = list(traces)
    if not traces:
        return None
    figure = go.Figure(traces)
    style(figure, height)
    figure.update_xaxes(title_text=label(x), dtick=1 if _are_few_counts(traces) else None)
    figure.update_yaxes(title_text=label(y))
    figure.update_layout(showlegend=sum(trace.showlegend is not False for trace in traces) > 1)
    figure.update_layout(**layout)
    return Drawing(title[:1].upper() + title[1:], figure, wide)


def _are_few_counts(traces: Iterable[Any]) -> bool:
    """Whether x is few whole numbers, such as epochs, between which Plotly would put ticks."""
    values = [value for trace in traces if getattr(trace, "x", None) is not None for value in trace.x]
    counts = bool(values) and all(isinstance(value, int | np.integer) for value in values)
    return counts and max(values) - min(values) < 10


def style(figure: go.Figure, height: int) -> None:
    """Apply the common style; the page sets the colours of text, which depend on its theme."""
    figure.update_layout(
        template="none",  # not the default one, which would be 7 kB of every figure
        height=height,
        margin={"l": 8, "r": 8, "t": 12, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12, "family": "system-ui, sans-serif"},
        colorway=COLOURS,
        legend={"orientation": "h", "y": -0.25, "yanchor": "top", "x": 0, "bgcolor": "rgba(0,0,0,0)"},
    )
    figure.update_xaxes(automargin=True, gridcolor=FAINT, zerolinecolor=FAINT, title_standoff=6)
    figure.update_yaxes(automargin=True, gridcolor=FAINT, zerolinecolor=FAINT, title_standoff=6)


def curve(
    x: Sequence[float], y: Sequence[float], name: str, colour: str, curves: int = 1, dash: str = "solid", **more: Any
) -> go.Scatter:
    """A line, thinned so that the `curves` of its figure have at most `POINTS` points together."""
    x, y = thin(x, POINTS // curves), thin(y, POINTS // curves)
    mode = "lines+markers" if len(x) <= 40 else "lines"
    line = {"color": colour, "dash": dash, "width": 2}
    return go.Scatter(
        x=x, y=finite(y), name=html.escape(name, quote=False), mode=mode, line=line, marker={"size": 5}, **more
    )


def thin(values: Sequence[Value], most: int) -> list[Value]:
    """Evenly spaced values, with the first and the last; at least two."""
    most = max(2, most)
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def finite(values: Iterable[float | None]) -> list[float | None]:
    """The values, with None, a gap in a line, for NaN and infinity."""
    return [value if value is not None and math.isfinite(value) else None for value in values]


def label(text: str, most: int = 60) -> str:
    """Text shortened and escaped for Plotly."""
    return html.escape(shortened(text, most), quote=False)


def labels(texts: Sequence[str], most: int, among: Sequence[str] | None = None) -> list[str]:
    """Escaped categories of an axis, shortened by `apart`: equal ones would be one category."""
    return [html.escape(text, quote=False) for text in apart(texts, most, among)]


def apart(texts: Sequence[str], most: int = 28, among: Sequence[str] | None = None) -> list[str]:
    """`shortened` of each, or the full text where shortened texts would be equal.

    Args:
        texts: to shorten.
        most: characters of each.
        among: all texts of the figure; None: `texts`.
    """
    short = Counter(shortened(text, most) for text in dict.fromkeys(among or texts))
    return [shortened(text, most) if short[shortened(text, most)] == 1 else text for text in texts]


def shortened(text: str, most: int = 28) -> str:
    """Text without its middle if it is longer than `most`; the default fits into a legend on a phone."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]}…{text[half + 1 - most :]}"


def words(name: str) -> str:
    """The name of a metric as a title: `mean_iou` is mean IoU, `top5_accuracy` top-5 accuracy."""
    text = re.sub(r"\bA[PR](?=\d*\b)", lambda found: found[0].upper(), name.replace("_", " "), flags=re.IGNORECASE)
    return re.sub(r"\btop(\d)", r"top-\1", re.sub(r"\biou\b", "IoU", text))


def colour_of(number: int) -> str:
    """The colour of the n-th of several things."""
    return COLOURS[number % len(COLOURS)]


def kept(*drawings: Drawing | None) -> list[Drawing]:
    """The drawings that are not None."""
    return [one for one in drawings if one is not None]
