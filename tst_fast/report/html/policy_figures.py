"""Figures of the learned policy, of its trajectory over the search, and of the confidence gap on test images."""

import statistics
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tst_fast.report.html.data import OperationTrajectory, PolicyTrajectory, Run
from tst_fast.report.html.drawing import (
    CURVES,
    FAINT,
    OF_ROLE,
    Drawing,
    apart,
    colour_of,
    curve,
    drawing,
    finite,
    kept,
    labels,
    style,
    thin,
)
from tst_fast.report.metrics import SearchEnded

POLICIES = {"trained": ("learned policy", "solid"), "untrained": ("untrained policy", "dash")}
"""Name in metrics.jsonl to title and line style."""
PANEL_POINTS = 60
"""Most points of a curve in a small panel."""


def overview(trajectory: PolicyTrajectory) -> Drawing:
    """Probability and level of each operation of one run, before and after the search, a row each."""
    rows = list(trajectory.operations.items())
    levels = [(name, one.levels) for name, one in rows if one.levels]
    panels = {"probability": [(name, one.probabilities) for name, one in rows], "relative magnitude": levels}
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04)
    for column, (title, values) in enumerate(panels.items(), start=1):
        names, ends = [name for name, _ in values], [(one[0], one[-1]) for _, one in values]
        places = [place for name in names for place in (name, name, None)]  # None ends a line
        line = {"color": FAINT, "width": 6}
        across = [value for before, after in ends for value in (before, after, None)]
        figure.add_trace(go.Scatter(x=across, y=places, mode="lines", line=line, showlegend=False), row=1, col=column)
        for when, name in enumerate(("before", "after")):
            marker = {"size": 10, "color": OF_ROLE["search"], "symbol": ("circle-open", "circle")[when]}
            x = [end[when] for end in ends]
            dots = go.Scatter(x=x, y=names, name=name, mode="markers", marker=marker, showlegend=column == 1)
            figure.add_trace(dots, row=1, col=column)
        lowest = min([0.0, *(value for end in ends for value in end)])
        figure.update_xaxes(title_text=title, range=[-1.04 if lowest < 0 else -0.04, 1.04], row=1, col=column)
    style(figure, 120 + 26 * len(rows))
    order = {"categoryorder": "array", "categoryarray": [name for name, _ in rows]}
    figure.update_yaxes(type="category", autorange="reversed", **order)
    figure.update_layout(legend={"y": 1, "yanchor": "bottom"})
    return Drawing("Probability and magnitude before and after the search", figure, wide=True)


def operation_panels(trajectories: Mapping[str, PolicyTrajectory]) -> list[Drawing]:
    """A panel for each operation: its probability and below it its magnitude, a line per run.

    Several runs with the same steps also have their mean and a band of one standard deviation.

    Args:
        trajectories: by label of the run.
    """
    names = dict.fromkeys(name for trajectory in trajectories.values() for name in trajectory.operations)
    return [_panel(name, {run: one for run, one in trajectories.items() if name in one.operations}) for name in names]


def _panel(name: str, trajectories: Mapping[str, PolicyTrajectory]) -> Drawing:
    first = next(iter(trajectories.values())).operations[name]
    rows = 2 if first.magnitudes else 1
    figure = make_subplots(rows=rows, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for row, key in enumerate(("probabilities", "magnitudes")[:rows], start=1):
        of_runs = {run: (one.steps, getattr(one.operations[name], key)) for run, one in trajectories.items()}
        for trace in _lines(of_runs):
            figure.add_trace(trace, row=row, col=1)
    style(figure, 280)
    figure.update_layout(showlegend=False)
    figure.update_yaxes(title_text="probability", range=[0, 1], row=1, col=1)
    if rows == 2:
        figure.update_yaxes(title_text="magnitude", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(title_text="search steps", row=rows, col=1)
    return Drawing(name, figure, note=_unit(first))


def _unit(trajectory: OperationTrajectory) -> str:
    if not trajectory.magnitudes:
        return "no magnitude"
    return ("magnitude: ± " if trajectory.signed else "magnitude: ") + trajectory.unit


def _lines(of_runs: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> list[go.Scatter]:
    """A line per run; several runs are paler, with their mean and a band."""
    several = len(of_runs) > 1
    shown = list(of_runs.items())[:CURVES]
    lines = []
    for number, (run, (steps, values)) in enumerate(shown):
        line = curve(thin(steps, PANEL_POINTS), thin(values, PANEL_POINTS), run, colour_of(number))
        lines.append(line.update(opacity=0.55 if several else 1, line_width=1.2 if several else 2, mode="lines"))
    steps = [list(steps) for steps, _ in of_runs.values()]
    if several and all(one == steps[0] for one in steps):
        lines = [*_band(steps[0], [values for _, values in of_runs.values()]), *lines]
    return lines


def _band(steps: Sequence[int], values: Sequence[Sequence[float]]) -> list[go.Scatter]:
    """The mean over runs ± one sample standard deviation."""
    at = list(zip(*values, strict=True))
    mean = [statistics.fmean(one) for one in at]
    deviation = [statistics.stdev(one) for one in at]
    x = thin(steps, PANEL_POINTS)
    upper, lower = (
        thin([m + sign * d for m, d in zip(mean, deviation, strict=True)], PANEL_POINTS) for sign in (1, -1)
    )
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    return [
        go.Scatter(x=x, y=upper, **edge),
        go.Scatter(x=x, y=lower, fill="tonexty", fillcolor="rgba(136,136,136,0.28)", **edge),
        go.Scatter(x=x, y=thin(mean, PANEL_POINTS), name="mean", mode="lines", line={"color": "#888", "width": 3}),
    ]


def agreement_maps(trajectories: Mapping[str, PolicyTrajectory]) -> list[Drawing]:
    """Heat maps of operations x runs at the end of the search: probabilities and levels."""
    names = list(dict.fromkeys(name for trajectory in trajectories.values() for name in trajectory.operations))
    return kept(
        _map("Probability after the search, by run", trajectories, names, "probabilities", 0),
        _map("Relative magnitude after the search, by run", trajectories, names, "levels", -1),
    )


def _map(
    title: str, trajectories: Mapping[str, PolicyTrajectory], names: Sequence[str], key: str, lowest: int
) -> Drawing | None:
    last = {
        name: [
            getattr(one.operations[name], key)[-1:] if name in one.operations else [] for one in trajectories.values()
        ]
        for name in names
    }
    rows = [(name, [one[0] if one else None for one in row]) for name, row in last.items()]
    rows = [(name, row) for name, row in rows if any(value is not None for value in row)]
    if not rows:
        return None
    signed = any(value is not None and value < 0 for _, row in rows for value in row)
    heat = go.Heatmap(
        z=[row for _, row in rows],
        x=labels(list(trajectories), 28),
        y=[name for name, _ in rows],
        zmin=lowest if signed else 0,
        zmax=1,
        colorscale="Viridis",
        texttemplate="%{z:.2f}" if len(trajectories) <= CURVES else None,
        hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
        colorbar={"thickness": 10},
    )
    found = drawing(title, [heat], height=180 + 24 * len(rows), wide=len(trajectories) > 6)
    assert found is not None
    found.figure.update_xaxes(type="category", tickangle=-40)
    found.figure.update_yaxes(type="category", autorange="reversed")
    return found


def gap_figures(runs: Sequence[Run]) -> list[Drawing]:
    """The confidence gap on augmented test images after each search; with one run, also both confidences."""
    searched = [(run, run.of(SearchEnded)) for run in runs]
    searched = [(run, ends) for run, ends in searched if ends][:CURVES]
    names = apart([run.label for run, _ in searched])
    gaps, networks = [], []
    for number, (_, ends) in enumerate(searched):
        for policy, (title, dash) in POLICIES.items():
            name = title if len(searched) == 1 else f"{names[number]}, {title}"
            line = _over_searches(ends, policy, "gap", name, colour_of(number), dash)
            gaps.append(line.update(showlegend=len(searched) == 1 or policy == "trained"))
    if len(searched) == 1:
        for role in ("teacher", "student"):
            for policy, (title, dash) in POLICIES.items():
                name = f"{role}, {title}"
                networks.append(_over_searches(searched[0][1], policy, role, name, OF_ROLE[role], dash))
    x = "student epochs completed"
    return kept(
        drawing("Confidence gap (teacher minus student), points", gaps, x, "points"),
        drawing("Confidence of both networks, %", networks, x, "%"),
    )


def _over_searches(ends: Sequence[SearchEnded], policy: str, key: str, name: str, colour: str, dash: str) -> go.Scatter:
    values = finite(100 * end.gap[policy][key] for end in ends)
    return curve([end.epoch for end in ends], values, name, colour, 4, dash)  # type: ignore[arg-type]


def policy_rows(trajectory: PolicyTrajectory) -> list[list[str]]:
    """Table rows: operation, probability and magnitude before and after the search, unit."""
    rows = []
    for name, one in trajectory.operations.items():
        sign = "±" if one.signed else ""
        magnitude = f"{sign}{one.magnitudes[0]:.3g} → {sign}{one.magnitudes[-1]:.3g}" if one.magnitudes else ""
        rows.append([name, f"{one.probabilities[0]:.2f} → {one.probabilities[-1]:.2f}", magnitude, one.unit])
    return rows
