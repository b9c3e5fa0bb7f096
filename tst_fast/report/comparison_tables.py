"""Tables of compare.json as text, for the terminal, the report and Markdown."""

from collections.abc import Mapping
from typing import Any

Rows = list[list[str]]


def arm_table(content: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """Header, and a row for each arm: views of each image per epoch, score of the last and best epoch, each run."""
    rows = []
    for arm, scores in content["arms"].items():
        seen = f"{content['plan']['arms'][arm]['images']}"
        runs = ", ".join(f"{100 * value:.2f}" for value in scores["last"]["runs"])
        rows.append([arm, seen, percent(scores["last"]), percent(scores["best"]), runs])
    return ["arm", "views per epoch", "last epoch, %", "best epoch, %", "each run, last epoch, %"], rows


def difference_table(content: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """Header, and a row for each pair: mean, confidence interval, in how many runs the first is higher, each run.

    The first pair is the hypothesis; the others are exploratory.
    """
    rows = []
    for number, found in enumerate(content["differences"]):
        interval = found["interval"]
        low_high = "" if interval is None else f"{100 * interval[0]:+.2f} to {100 * interval[1]:+.2f}"
        runs = ", ".join(f"{100 * value:+.2f}" for value in found["runs"])
        name = " - ".join(found["arms"]) + (" (hypothesis)" if number == 0 else "")
        wins = f"{found['wins']} of {len(found['runs'])}"
        rows.append([name, f"{100 * found['mean']:+.2f}", low_high, wins, runs])
    return ["difference, points", "mean", "95 % confidence interval", "higher in", "each run"], rows


def percent(values: Mapping[str, Any]) -> str:
    """A mean in 0..1 as %, with the standard deviation of several runs."""
    deviation = values.get("standard_deviation")
    return f"{100 * values['mean']:.2f}" + ("" if deviation is None else f" ± {100 * deviation:.2f}")
