"""The policy over the search, an operation at a time, and where runs agree; the gap that it leaves on test images."""

import statistics
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tst_fast.report.html.data import OperationTrajectory, PolicyTrajectory, Run
from tst_fast.report.html.drawing import (
    CURVES,
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

PANEL_POINTS = 60
"""Of a curve, in a small panel."""


def operation_panels(trajectories: Mapping[str, PolicyTrajectory]) -> list[Drawing]:
    """A panel for each operation: its probability and below it its magnitude, a line a run.

    Several runs that took the same steps have their mean and a band of one standard deviation besides.

    Args:
        trajectories: by label of the run.
    """
    names = dict.fromkeys(name for trajectory in trajectories.values() for name in trajectory.operations)
    return [
        _panel(name, {run: trajectory for run, trajectory in trajectories.items() if name in trajectory.operations})
        for name in names
    ]


def _panel(name: str, trajectories: Mapping[str, PolicyTrajectory]) -> Drawing:
    first = next(iter(trajectories.values())).operations[name]
    rows = 2 if first.magnitudes else 1
    figure = make_subplots(rows=rows, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for row, key in enumerate(("probabilities", "magnitudes")[:rows], start=1):
        of_runs = {
            run: (trajectory.steps, getattr(trajectory.operations[name], key))
            for run, trajectory in trajectories.items()
        }
        for trace in _lines(of_runs):
            figure.add_trace(trace, row=row, col=1)
    style(figure, 280)
    figure.update_layout(showlegend=False)
    figure.update_yaxes(title_text="probability", range=[0, 1], row=1, col=1)
    if rows == 2:
        figure.update_yaxes(title_text="magnitude", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(title_text="steps of the search", row=rows, col=1)
    return Drawing(name, figure, note=_unit(first))


def _unit(trajectory: OperationTrajectory) -> str:
    if not trajectory.magnitudes:
        return "without a magnitude"
    return ("magnitude: ± " if trajectory.signed else "magnitude: ") + trajectory.unit


def _lines(of_runs: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> list[go.Scatter]:
    """A line a run; of several runs paler, with their mean and a band."""
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
    """The mean over runs, and one sample standard deviation to each side."""
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
    """Operations x runs, at the end of the search: probabilities, and levels."""
    names = list(dict.fromkeys(name for trajectory in trajectories.values() for name in trajectory.operations))
    return kept(
        _map("Probability at the end, by run", trajectories, names, "probabilities", 0),
        _map("Level at the end, by run (magnitude as a share of the strongest)", trajectories, names, "levels", -1),
    )


def _map(
    title: str, trajectories: Mapping[str, PolicyTrajectory], names: Sequence[str], key: str, lowest: int
) -> Drawing | None:
    cells = [
        [
            getattr(trajectory.operations[name], key)[-1:] if name in trajectory.operations else []
            for trajectory in trajectories.values()
        ]
        for name in names
    ]
    rows = [(name, [one[0] if one else None for one in row]) for name, row in zip(names, cells, strict=True)]
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
    found = drawing(title, [heat], height=120 + 24 * len(rows), wide=len(trajectories) > 6)
    assert found is not None
    found.figure.update_xaxes(type="category", tickangle=-40)
    found.figure.update_yaxes(type="category", autorange="reversed")
    return found


def gap_figures(runs: Sequence[Run]) -> list[Drawing]:
    """The teacher's confidence minus the student's on augmented test images after each search; of one run, both too."""
    searched = [(run, run.of(SearchEnded)) for run in runs]
    searched = [(run, ends) for run, ends in searched if ends][:CURVES]
    names = apart([run.label for run, _ in searched])
    gaps, networks = [], []
    for number, (_, ends) in enumerate(searched):
        for policy, dash in (("trained", "solid"), ("untrained", "dash")):
            name = f"{policy} policy" if len(searched) == 1 else f"{names[number]}, {policy}"
            gaps.append(_over_searches(ends, policy, "gap", name, colour_of(number), dash))
    if len(searched) == 1:
        for role in ("teacher", "student"):
            for policy, dash in (("trained", "solid"), ("untrained", "dash")):
                name = f"{role}, {policy} policy"
                networks.append(_over_searches(searched[0][1], policy, role, name, OF_ROLE[role], dash))
    x = "epochs before the search"
    return kept(
        drawing("Gap: the teacher's confidence minus the student's, in points", gaps, x, "points"),
        drawing("Confidence of each network, %", networks, x, "%"),
    )


def _over_searches(ends: Sequence[SearchEnded], policy: str, key: str, name: str, colour: str, dash: str) -> go.Scatter:
    values = finite(100 * end.gap[policy][key] for end in ends)
    return curve([end.epoch for end in ends], values, name, colour, 4, dash)  # type: ignore[arg-type]


def policy_rows(trajectory: PolicyTrajectory) -> list[list[str]]:
    """Rows of a table: operation, probability and magnitude before and after, unit."""
    rows = []
    for name, one in trajectory.operations.items():
        sign = "±" if one.signed else ""
        magnitude = f"{sign}{one.magnitudes[0]:.3g} → {sign}{one.magnitudes[-1]:.3g}" if one.magnitudes else ""
        rows.append([name, f"{one.probabilities[0]:.2f} → {one.probabilities[-1]:.2f}", magnitude, one.unit])
    return rows
