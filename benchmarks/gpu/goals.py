"""What was aimed at, and whether the rows of this run reach it."""

from collections.abc import Callable, Sequence

from benchmarks.gpu.inputs import KINDS
from benchmarks.results import Row
from benchmarks.training.arms import KD, KEPT, KORNIA, LOADED, STUDENT, Key


def _value(rows: Sequence[Row], column: str, **what: object) -> float | None:
    """A column of the first row that fits; None where it was not measured."""
    return next((row for row in rows if what.items() <= row.items()), {}).get(column)


def _main(rows: Sequence[Row], column: str, passes: str) -> float | None:
    return _value(rows, column, part="kernels", name="mix", **{"pass": passes}, **KINDS[0].columns)


def _backward_in_forwards(rows: Sequence[Row]) -> float | None:
    forward, backward = (_main(rows, "microseconds", passes) for passes in ("forward", "backward"))
    return backward / forward if forward and backward else None


def _times_as_fast(name: str) -> Callable[[Sequence[Row]], float | None]:
    return lambda rows: _value(rows, "ours_times_as_fast", part="peers", name=name, **{"pass": "forward"})


def _step(rows: Sequence[Row], column: str, key: Key) -> float | None:
    """Of the first pair, which is the main one."""
    pair = _value(rows, "pair", part="training")
    return _value(rows, column, part="training", pair=pair, step=key[0], data=key[1])


def _augmentation_share(rows: Sequence[Row]) -> float | None:
    augmentation, whole = (_step(rows, name, (STUDENT, KEPT)) for name in ("augmentation_ms", "milliseconds"))
    return augmentation / whole if augmentation and whole else None


def _rate_over(key: Key, other: Key) -> Callable[[Sequence[Row]], float | None]:
    """images/s of one way to take a step, in times of another's."""

    def read(rows: Sequence[Row]) -> float | None:
        one, baseline = (_step(rows, "images_per_second", asked) for asked in (key, other))
        return one / baseline if one and baseline else None

    return read


def _all_right(rows: Sequence[Row]) -> float | None:
    answers = [row.get("is_right", False) for row in rows if row["part"] == "parity"]
    return sum(answers) / len(answers) if answers else None


GOALS: tuple[tuple[str, Callable[[Sequence[Row]], float | None], float, bool], ...] = (
    ("share of the parity rows that are right", _all_right, 1.0, True),
    ("forward, share of the issue bound", lambda rows: _main(rows, "share_of_issue_bound", "forward"), 0.5, True),
    ("backward, in times of the forward pass", _backward_in_forwards, 1.6, False),
    ("forward, times our reference compiled", _times_as_fast("our reference, compiled"), 3.0, True),
    ("forward, times torchvision v2", _times_as_fast("torchvision"), 10.0, True),
    ("forward, times eager kornia", _times_as_fast("kornia"), 20.0, True),
    ("augmentation, share of a student's step", _augmentation_share, 0.03, False),
    ("student's step, share of KD's images/s", _rate_over((STUDENT, KEPT), (KD, KEPT)), 0.95, True),
    ("with the loader, share of images/s without", _rate_over((STUDENT, LOADED), (STUDENT, KEPT)), 0.95, True),
    ("student's step, times kornia in the loop", _rate_over((STUDENT, KEPT), (KORNIA, KEPT)), 1.25, True),
)
"""Each goal, how it is read from the rows, its figure, and whether more is better."""


def rows(measured: Sequence[Row]) -> list[Row]:
    """A row for each goal; one that was not measured is not reached."""
    found = []
    for name, read, goal, is_more_better in GOALS:
        value = read(measured)
        is_reached = value is not None and (value >= goal if is_more_better else value <= goal)
        compared = f"{'at least' if is_more_better else 'at most'} {goal:g}"
        found.append({"part": "goals", "name": name, "goal": compared, "measured": value, "is_reached": is_reached})
    return found
