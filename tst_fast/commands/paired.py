"""What scores of arms over seeds say: means, and differences pair by pair with their interval."""

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.95


def scores_of(runs: Sequence[Mapping[str, Any]], metric: str) -> dict[str, list[float]]:
    """The student's, of the last epoch and of the best one, of runs as compare.json has them."""
    return {name: [run[key][metric] for run in runs] for name, key in (("last", "student"), ("best", "student_best"))}


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean and sample standard deviation, None of a single value; and the values."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "standard_deviation": deviation, "runs": list(values)}


def paired_difference(one: Sequence[float], other: Sequence[float]) -> dict[str, Any]:
    """The mean of `one` - `other`, a run at a time, with its standard error and 95 % interval (Student's t).

    Args:
        one: scores, in the order of the runs.
        other: scores of the runs with the same seeds.

    Returns:
        mean, standard_error, interval ([low, high]; None of a single run), wins (runs in which `one` is higher), runs.
    """
    differences = [a - b for a, b in zip(one, other, strict=True)]
    mean, count = statistics.fmean(differences), len(differences)
    error = interval = None
    if count > 1:
        error = statistics.stdev(differences) / math.sqrt(count)
        reach = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * error
        interval = [mean - reach, mean + reach]
    wins = sum(difference > 0 for difference in differences)
    return {"mean": mean, "standard_error": error, "interval": interval, "wins": wins, "runs": differences}


def agreement(policies: Sequence[Sequence[float]]) -> float | None:
    """Mean correlation of what policies of different seeds learned, pair by pair; None of fewer than two.

    Args:
        policies: of each seed, the probabilities in one order. One that did not move from a constant agrees with none.
    """
    if len(policies) < 2:
        return None
    found = []
    for one, other in combinations(np.asarray(policies, dtype=np.float64), 2):
        apart = [values - values.mean() for values in (one, other)]
        norm = math.prod(float(np.linalg.norm(values)) for values in apart)
        found.append(float(apart[0] @ apart[1]) / norm if norm > 0 else 0.0)
    return statistics.fmean(found)
