"""Figures of a comparison of arms: every seed, means with deviations, paired differences with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from tst_fast.report.html.data import Comparison
from tst_fast.report.html.drawing import COLOURS, Drawing, colour_of, drawing, kept, label, words


def comparison_figures(comparison: Comparison) -> list[Drawing]:
    """Scores of the arms, and their differences by seed."""
    content = comparison.content
    metric = words(content["metric"] or "")
    arms = {arm: scores["last"] for arm, scores in content["arms"].items()}
    rows = [
        {"name": arm, "mean": one["mean"], "reach": one["standard_deviation"], "runs": one["runs"], "arms": [arm]}
        for arm, one in arms.items()
    ]
    pairs = [
        {
            "name": " - ".join(one["arms"]),
            "mean": one["mean"],
            "reach": None if one["interval"] is None else one["interval"][1] - one["mean"],
            "runs": one["runs"],
            "arms": one["arms"],
        }
        for one in content["differences"]
    ]
    return kept(
        _rows(f"{metric} by arm, last epoch, %: mean ± one standard deviation", rows, content, "%"),
        _rows("Differences paired by seed, points: mean with 95 % confidence interval", pairs, content, "points"),
    )


def _rows(title: str, rows: Sequence[Mapping[str, Any]], content: Mapping[str, Any], unit: str) -> Drawing | None:
    """A row for each arm or pair: its runs as points, their mean as a diamond with an error bar."""
    traces = []
    for number, row in enumerate(rows):
        name = "<br>- ".join(label(part, 24) for part in row["arms"])
        seeds = [label(seed) for seed in seeds_of(content, row["arms"][0])][: len(row["runs"])]
        traces.append(
            go.Scatter(
                x=[100 * value for value in row["runs"]],
                y=[name] * len(row["runs"]),
                text=seeds,
                name="one run",
                mode="markers",
                marker={"color": colour_of(number), "size": 8, "opacity": 0.5},
                hovertemplate="%{text}: %{x:.2f}<extra></extra>",
            )
        )
        reach = None if row["reach"] is None else {"type": "data", "array": [100 * row["reach"]], "thickness": 2}
        marker = {"color": colour_of(number), "size": 12, "symbol": "diamond"}
        traces.append(
            go.Scatter(x=[100 * row["mean"]], y=[name], error_x=reach, name="mean", mode="markers", marker=marker)
        )
    found = drawing(title, traces, unit, height=110 + 48 * len(rows), showlegend=False)
    if found is not None:
        found.figure.update_yaxes(type="category", autorange="reversed")
        if unit == "points":
            found.figure.add_vline(x=0, line={"color": COLOURS[-1], "dash": "dot", "width": 1})
    return found


def seeds_of(content: Mapping[str, Any], arm: str) -> list[str]:
    """Name of each run of an arm: its seed, and the seed of its training subset where there are several."""
    several = len(content["plan"]["fraction_seeds"]) > 1
    return [
        f"seed {run['seed']}" + (f", images {run['fraction_seed']}" if several else "") for run in content["runs"][arm]
    ]
