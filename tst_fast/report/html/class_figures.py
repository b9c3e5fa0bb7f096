"""Figures by class: scores, differences and confusion matrices."""

import statistics
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from tst_fast.report.html.data import Comparison, Run
from tst_fast.report.html.drawing import OF_ROLE, Drawing, colour_of, drawing, kept, label, labels, words
from tst_fast.report.metrics import Evaluated

CLASSES = 40
"""Shown at most; of more, those that differ most."""
WITH_TEACHER = 20
"""Up to this many classes, the teacher's confusion matrix is shown too, and cells have numbers."""
NAME = 24
"""Characters of a class name on an axis."""

ByClass = Mapping[str, float]


def class_figures(run: Run) -> list[Drawing]:
    """Of one run: scores of both networks by class, their difference, and confusion matrices."""
    last = {role: found[-1] for role in ("teacher", "student") if (found := run.evaluations(role))}
    found = []
    for metric in last["student"].by_class if "student" in last else ():
        scores = {role: one.by_class[metric] for role, one in last.items() if metric in one.by_class}
        found += _of_metric(metric, scores)
    names = _class_names(last.values())
    for role, one in last.items():
        if one.confusion is not None and (role == "student" or len(one.confusion) <= WITH_TEACHER):
            found.append(_confusion(role, np.asarray(one.confusion), names))
    return kept(*found)


def _of_metric(metric: str, scores: Mapping[str, ByClass]) -> list[Drawing | None]:
    shared = [name for name in scores["student"] if all(name in one for one in scores.values())]
    against = scores.get("teacher", {})
    differences = {name: scores["student"][name] - against[name] for name in shared if name in against}
    chosen = _furthest(differences) if differences else shared[:CLASSES]
    of = f" ({len(chosen)} of {len(shared)} classes, those that differ most)" if len(chosen) < len(shared) else ""
    names = labels(chosen, NAME)
    bars = [
        go.Bar(x=names, y=[100 * one[name] for name in chosen], name=role, marker_color=OF_ROLE[role])
        for role, one in scores.items()
    ]
    both = drawing(f"{words(metric)} by class, %{of}", bars, y="%", wide=True, barmode="group", xaxis_type="category")
    if not differences:  # of a student alone
        return [both]
    gains = [_gains("student - teacher", {name: differences[name] for name in chosen}, chosen, OF_ROLE["student"])]
    title = f"{words(metric)} by class, student minus teacher, points{of}"
    return [both, _difference(title, gains)]


def _gains(name: str, differences: ByClass, classes: Sequence[str], colour: str, visible: bool = True) -> go.Bar:
    """Bars of some of the classes of a figure."""
    values = [100 * value for value in differences.values()]
    shown = True if visible else "legendonly"
    places = labels(list(differences), NAME, classes)
    return go.Bar(x=places, y=values, name=label(name), marker_color=colour, visible=shown)


def _difference(title: str, bars: Sequence[go.Bar]) -> Drawing | None:
    return drawing(title, bars, y="points", wide=True, barmode="group", xaxis_type="category")


def _furthest(differences: ByClass) -> list[str]:
    """At most `CLASSES`, those that are furthest from 0, in the order that they have."""
    ranked = sorted(differences, key=lambda name: -abs(differences[name]))[:CLASSES]
    return [name for name in differences if name in set(ranked)]


def _class_names(evaluations: Sequence[Evaluated] | object) -> list[str]:
    """Of all classes, where any evaluation names as many as its confusion matrix has rows; else none."""
    for one in evaluations:  # type: ignore[attr-defined]
        for by_class in one.by_class.values():
            if one.confusion is not None and len(by_class) == len(one.confusion):
                return labels(list(by_class), NAME)
    return []


def _confusion(role: str, counts: np.ndarray, names: Sequence[str]) -> Drawing | None:
    """Each row in % of the test images or pixels of its true class."""
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    places = list(names) or [str(number) for number in range(len(counts))]
    small = len(counts) <= WITH_TEACHER
    heat = go.Heatmap(
        z=shares.astype(np.float32),
        customdata=counts if small else None,
        x=places,
        y=places,
        zmin=0,
        zmax=100,
        colorscale="Viridis",
        texttemplate="%{z:.0f}" if small else None,
        hovertemplate="%{y} predicted as %{x}: %{z:.1f} %" + (", %{customdata:,}" if small else "") + "<extra></extra>",
        colorbar={"thickness": 10},
    )
    found = drawing(
        f"Confusion matrix of the {role}, % of each true class", [heat], "predicted class", "true class", height=420
    )
    if found is not None:
        found.figure.update_xaxes(type="category")
        found.figure.update_yaxes(type="category", autorange="reversed")
    return found


def gains_over_arms(comparison: Comparison) -> Drawing | None:
    """Differences of the compared arms by class, mean over the seeds."""
    pairs = [tuple(found["arms"]) for found in comparison.content["differences"]]
    runs = comparison.runs
    return gains_by_class(
        "Differences by class, mean over seeds, points",
        {f"{one} - {other}": (runs.get(one, []), runs.get(other, [])) for one, other in pairs},
    )


def gains_by_class(title: str, pairs: Mapping[str, tuple[Sequence[Run], Sequence[Run]]]) -> Drawing | None:
    """Scores by class of the first runs of each pair minus those of the second, mean over runs."""
    chosen, bars = None, []
    for name, runs in pairs.items():
        one, other = map(_mean_by_class, runs)
        differences = {which: one[which] - other[which] for which in one if which in other}
        if not differences:
            continue
        chosen = chosen or _furthest(differences)
        shown = {which: differences[which] for which in chosen if which in differences}
        bars.append(_gains(name, shown, chosen, colour_of(len(bars)), visible=not bars))
    return _difference(title, bars) if bars else None


def _mean_by_class(runs: Sequence[Run]) -> dict[str, float]:
    """The student's last scores by class, of the first metric that has them, over runs."""
    last = [found[-1] for run in runs if (found := run.evaluations("student"))]
    scores = [next(iter(one.by_class.values())) for one in last if one.by_class]
    if not scores:
        return {}
    return {name: statistics.fmean(one[name] for one in scores if name in one) for name in scores[0]}
