"""The settings that a mistyped or guessed one may be meant to be."""

import difflib
from collections.abc import Sequence

SYNONYMS = {
    "arch": "student.name",
    "bs": "batch_size",
    "dataset": "data.name",
    "lr": "learning_rate",
    "model": "student.name",
    "num_workers": "threads",
    "wd": "weight_decay",
    "workers": "threads",
}
"""What other programs call it, and what it is here."""
SHOWN = 3
ALIKE = 0.65
"""Least similarity of two names, 0..1, for one to be taken for the other."""


def similar_settings(name: str, known: Sequence[str]) -> list[str]:
    """Settings that `name` may stand for, the student's before the others: at most three, perhaps none.

    The last part of a dotted name tells most: `epochs`, `student.lr` and `optimizer.name` are found though parts are
    left out before it.

    Args:
        name: what was given, with or without the groups that the setting is in.
        known: every setting, dotted.
    """
    *groups, last = name.replace("-", "_").lower().split(".")
    wanted = [*groups, *SYNONYMS.get(last, last).split(".")]
    if ".".join(wanted) in known:
        return [".".join(wanted)]
    settings = [setting for setting in known if not any(other.startswith(f"{setting}.") for other in known)]
    scores = {setting: _similarity(wanted, setting.split(".")) for setting in settings}
    highest = max(scores.values(), default=0.0)
    best = [setting for setting in settings if scores[setting] == highest >= ALIKE]
    return sorted(best, key=lambda setting: (not setting.startswith("student"), setting.count(".")))[:SHOWN]


def _similarity(wanted: Sequence[str], setting: Sequence[str]) -> float:
    """Of the whole names, or of their last parts where the groups that are given are the setting's."""
    whole = _ratio(".".join(wanted), ".".join(setting))
    within = all(any(group in other for other in setting[:-1]) for group in wanted[:-1])
    return max(whole, _ratio(wanted[-1], setting[-1])) if within else whole


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """`; did you mean 'a', 'b' or 'c'?`, or a full stop where nothing is similar."""
    found = [repr(setting) for setting in similar_settings(name, known)]
    if not found:
        return "."
    return f"; did you mean {' or '.join([', '.join(found[:-1]), found[-1]] if found[1:] else found)}?"
