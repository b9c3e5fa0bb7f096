"""Pairs of TST and KD runs that were made separately and differ in nothing else that affects their scores."""

import statistics
from collections.abc import Sequence
from typing import Any

from tst_fast.report.html.data import Run

ALIKE = ("task", "seed", "data", "student", "student_training", "loss", "sync_batch_norm")
"""Settings that must be equal in both; the path of the data may differ."""
NEAR = 5e-5
"""Scores of the same teacher differ by less than this: less than one of ten thousand images."""


def baseline_pairs(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Each finished TST run with the KD run of its seed, if there is exactly one."""
    ended = [run for run in runs if run.result and run.evaluations("student")]
    pairs = []
    for one in ended:
        others = [other for other in ended if _method(other) == "KD" and _are_alike(one, other)]
        if _method(one) == "TST" and len(others) == 1:
            pairs.append((one, others[0]))
    return pairs


def difference_rows(pairs: Sequence[tuple[Run, Run]]) -> list[list[str]]:
    """Table rows: seed, both runs with the headline score of their last epoch in %, the difference in points."""
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
    """TST or KD; None if it is neither, such as a student alone or augmentation by an untrained policy."""
    taught, policy = run.config.get("distillation", {}), run.config.get("policy", {})
    if not taught.get("teacher"):
        return None
    if not taught.get("augment"):
        return "KD"
    return "TST" if policy.get("search") != "none" else None


def _are_alike(one: Run, other: Run) -> bool:
    """Whether only the method differs; teachers with the same scores count as the same."""
    scores, others = _scores_of_teacher(one), _scores_of_teacher(other)
    is_same_teacher = scores.keys() == others.keys() and all(abs(scores[key] - others[key]) < NEAR for key in scores)
    return is_same_teacher and _settings(one) == _settings(other)


def _settings(run: Run) -> list[Any]:
    found = [run.config.get(name) for name in ALIKE]
    plain = [{**value, "root": None} if isinstance(value, dict) else value for value in found]  # root: see `ALIKE`
    return [*plain, run.config.get("teacher", {}).get("name")]


def _scores_of_teacher(run: Run) -> dict[tuple[str, ...], float]:
    """By metric, and by metric and class: of few test images, another teacher may be right as often."""
    if not (evaluated := run.evaluations("teacher")):
        return {}
    last = evaluated[-1]
    by_class = {(metric, name): score for metric, one in last.by_class.items() for name, score in one.items()}
    return {(metric,): score for metric, score in last.scores.items()} | by_class
