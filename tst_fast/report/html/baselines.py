"""KD beside TST: runs that are given by themselves and differ in nothing else that would change their scores."""

import statistics
from collections.abc import Sequence
from typing import Any

from tst_fast.report.html.data import Run

ALIKE = ("task", "seed", "data", "student", "student_training", "loss", "sync_batch_norm")
"""Settings in which the two must not differ; where the data lie is none of them."""
DIGITS = 4
"""Of the scores by which teachers are known."""


def baseline_pairs(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Each run that ended and learned by TST, with the KD run of its seed, if there is exactly one."""
    ended = [run for run in runs if run.result and run.evaluations("student")]
    pairs = []
    for one in ended:
        others = [other for other in ended if _method(other) == "KD" and _settings(other) == _settings(one)]
        if _method(one) == "TST" and len(others) == 1:
            pairs.append((one, others[0]))
    return pairs


def difference_rows(pairs: Sequence[tuple[Run, Run]]) -> list[list[str]]:
    """Rows of a table: seed, both runs with the headline score of their last epoch in %, the difference in points."""
    rows, differences = [], []
    for one, other in pairs:
        metric = one.headline()
        assert metric is not None  # both were evaluated
        scores = [100 * run.evaluations("student")[-1].scores[metric] for run in (one, other)]
        differences.append(scores[0] - scores[1])
        texts = [f"{run.label}: {score:.2f}" for run, score in zip((one, other), scores, strict=True)]
        rows.append([str(one.config["seed"]), *texts, f"{differences[-1]:+.2f}"])
    if len(pairs) > 1:
        rows.append(["mean", "", "", f"{statistics.fmean(differences):+.2f}"])
    return rows


def _method(run: Run) -> str | None:
    """TST or KD; None of what is neither, such as a student alone, or augmentation by an untrained policy."""
    taught, policy = run.config.get("distillation", {}), run.config.get("policy", {})
    if not taught.get("teacher"):
        return None
    if not taught.get("augment"):
        return "KD"
    return "TST" if policy.get("search") != "none" else None


def _settings(run: Run) -> list[Any]:
    found = [run.config.get(name) for name in ALIKE]
    plain = [{**value, "root": None} if isinstance(value, dict) else value for value in found]  # root: see `ALIKE`
    return [*plain, run.config.get("teacher", {}).get("name"), *_scores_of_teacher(run)]


def _scores_of_teacher(run: Run) -> list[tuple[str, float]]:
    """The same weights have the same scores, wherever their file lies and whoever trained them."""
    scores = evaluated[-1].scores if (evaluated := run.evaluations("teacher")) else {}
    return [(name, round(score, DIGITS)) for name, score in sorted(scores.items())]
