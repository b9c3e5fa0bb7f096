"""Figures of training by epoch: losses, learning rates, scores, confidence, throughput."""

from collections import defaultdict
from collections.abc import Sequence

import plotly.graph_objects as go

from tst_fast.report.html.data import Run
from tst_fast.report.html.drawing import (
    CURVES,
    OF_ROLE,
    Drawing,
    apart,
    colour_of,
    curve,
    drawing,
    kept,
    labels,
    words,
)
from tst_fast.report.metrics import STAGES, PassEnded, StepsTaken

METRICS = 4
"""Of a task's metrics, the first are shown."""
REST = "other (evaluation etc.)"
CONFIDENCES = {
    "teacher_confidence": ("teacher, augmented images", "teacher", "solid"),
    "student_confidence": ("student, augmented images", "student", "solid"),
    "plain_student_confidence": ("student, original images", "student", "dot"),
}


def loss_figures(runs: Sequence[Run]) -> list[Drawing]:
    """The mean loss of each pass, one figure per stage since scales differ; and the learning rates."""
    runs = runs[:CURVES]
    names = apart([run.label for run in runs])
    found = []
    for stage, title in STAGES.items():
        lines = []
        for number, run in enumerate(runs):
            passes = run.of(PassEnded, stage)
            if passes:
                losses = [one.mean_loss for one in passes]
                colour = _colour(runs, stage, number)
                lines.append(curve(range(1, len(passes) + 1), losses, names[number], colour, len(runs)))
        found.append(drawing(f"Mean loss: {title}", lines, "search pass" if stage == "search" else "epoch", "loss"))
    return kept(*found, _learning_rates(runs))


def _learning_rates(runs: Sequence[Run]) -> Drawing | None:
    lines = []
    for stage, title in reversed(STAGES.items()):  # the teacher's, dashed, over the student's, often equal
        # Runs shown together mostly share their schedule: one of them is enough.
        steps = next((found for run in runs if (found := run.of(StepsTaken, stage))), [])
        if steps:
            rates = [one.learning_rate for one in steps]
            dash = "dash" if stage == "teacher" else "solid"
            lines.append(curve([one.stage_step for one in steps], rates, title, OF_ROLE[stage], len(STAGES), dash))
    title = "Learning rates" + (" of the first run" if len(runs) > 1 else "")
    return drawing(title, lines, "step of the stage", "learning rate", yaxis_type="log", yaxis_exponentformat="power")


def score_figures(runs: Sequence[Run]) -> list[Drawing]:
    """Scores of the student by epoch, the teacher's as a horizontal line; a figure for each of the first metrics."""
    runs = runs[:CURVES]
    metrics = list(dict.fromkeys(name for run in runs for one in run.evaluations("student") for name in one.scores))
    names = ["student"] if len(runs) == 1 else apart([run.label for run in runs])
    dotted = " (dotted: teacher)" if len(runs) > 1 else ""
    found = []
    for metric in metrics[:METRICS]:
        lines = []
        for number, run in enumerate(runs):
            scored = [one for one in run.evaluations("student") if metric in one.scores]
            if not scored:
                continue
            epochs = [one.epoch + 1 for one in scored]
            scores = [100 * one.scores[metric] for one in scored]
            lines.append(curve(epochs, scores, names[number], _colour(runs, "student", number), 2 * len(runs)))
            teacher = [one.scores.get(metric) for one in run.evaluations("teacher")]
            if teacher and teacher[-1] is not None:
                colour = OF_ROLE["teacher"] if len(runs) == 1 else colour_of(number)
                ends = [epochs[0], epochs[-1]] if len(epochs) > 1 else [0, epochs[0]]
                across = curve(ends, [100 * teacher[-1]] * 2, "teacher", colour, 2 * len(runs), "dot")
                lines.append(across.update(showlegend=len(runs) == 1, mode="lines"))
        found.append(drawing(f"{words(metric)} on test images, %{dotted}", lines, "epoch of the student", "%"))
    return kept(*found)


def confidence_figure(run: Run) -> Drawing | None:
    """Both networks' mean confidence in the true class of training images, by epoch of the student."""
    by_epoch: dict[str, dict[int, list[tuple[float, int]]]] = defaultdict(lambda: defaultdict(list))
    last: dict[int, int] = defaultdict(int)  # steps of a pass until its last event
    for event in run.of(StepsTaken, "student"):
        steps, last[event.pass_index] = event.step - last[event.pass_index], event.step
        for name in CONFIDENCES.keys() & event.means.keys():
            by_epoch[name][event.epoch + 1].append((100 * event.means[name], steps))
    lines = [
        curve(list(epochs), list(map(_weighted, epochs.values())), title, OF_ROLE[role], 3, dash)
        for name, (title, role, dash) in CONFIDENCES.items()
        if (epochs := by_epoch.get(name))
    ]
    return drawing("Confidence in the true class on training images, %", lines, "epoch of the student", "%")


def _weighted(values: Sequence[tuple[float, int]]) -> float:
    """The mean of values, each with its weight."""
    return sum(value * weight for value, weight in values) / max(sum(weight for _, weight in values), 1)


def speed_figures(runs: Sequence[Run]) -> list[Drawing]:
    """Throughput of each pass; the time of each stage, and the rest of the wall time if it is known."""
    shown = runs[:CURVES]
    names = apart([run.label for run in shown])
    dashes = " (dotted: teacher; dashed: search)" if len(shown) > 1 else ""
    rates, bars = [], []
    for stage, title in STAGES.items():
        for number, run in enumerate(shown):
            values = run.rates(stage)
            if values:
                name = title if len(shown) == 1 else f"{names[number]}, {title}"
                dash = {"teacher": "dot", "search": "dash"}.get(stage, "solid")
                colour = _colour(shown, stage, number)
                curves = len(shown) * len(STAGES)
                line = curve(range(1, len(values) + 1), values, name, colour, curves, dash)
                rates.append(line.update(showlegend=len(shown) == 1 or stage == "student"))
    seconds = [seconds_of(run) for run in shown]
    for stage, colour in {**{title: OF_ROLE[name] for name, title in STAGES.items()}, REST: "#888888"}.items():
        values = [of_run.get(stage, 0.0) for of_run in seconds]
        if any(values):
            places = labels([run.label for run in shown], 30)
            bars.append(go.Bar(x=values, y=places, name=stage, orientation="h", marker_color=colour))
    where = drawing("Time by stage", bars, "seconds", height=210 + 22 * len(shown), barmode="stack")
    if where is not None:
        where.figure.update_yaxes(type="category", autorange="reversed")
        where.figure.update_layout(legend={"traceorder": "normal", "y": -90 / (210 + 22 * len(shown))})
    return kept(
        drawing(f"Throughput of each pass{dashes}", rates, "pass of the stage", "images/s", yaxis_rangemode="tozero"),
        where,
    )


def seconds_of(run: Run) -> dict[str, float]:
    """Seconds of the steps of each stage, by title; of a finished run, also the rest of its wall time."""
    found = dict.fromkeys(STAGES.values(), 0.0)
    for event in run.of(PassEnded):
        for stage, seconds in event.seconds.items():
            found[STAGES[stage]] += seconds
    if run.result:
        found[REST] = max(0.0, run.result["wall_seconds"] - sum(found.values()))
    return found


def _colour(runs: Sequence[Run], stage: str, number: int) -> str:
    """With one run, the colour of the stage; with several, that of the run."""
    return OF_ROLE[stage] if len(runs) == 1 else colour_of(number)
