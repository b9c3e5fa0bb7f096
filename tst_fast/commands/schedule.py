"""How many runs of a comparison there are, and how long those that are left will take."""

from collections import defaultdict
from collections.abc import Sequence

from tst_fast.report.console import as_time

TEACHER = "teacher"


class Schedule:
    """The runs of a comparison.

    Args:
        arms: each of which runs `repetitions` times.
        repetitions: seeds, times choices of training images.
        teachers: that are trained, each before the arms that learn from it.
        jobs: runs at a time.
    """

    def __init__(self, arms: Sequence[str], repetitions: int, teachers: int, jobs: int = 1) -> None:
        self._jobs, self._begun = jobs, 0
        self._planned = {TEACHER: teachers, **dict.fromkeys(arms, repetitions)}
        self._seconds: dict[str, list[float]] = defaultdict(list)

    @property
    def runs(self) -> int:
        """All of them."""
        return sum(self._planned.values())

    def begin(self) -> int:
        """One more is begun; its number, from 1."""
        self._begun += 1
        return self._begun

    def took(self, arm: str, seconds: float) -> None:
        """A run of an arm, or of a teacher, is over."""
        self._seconds[arm].append(seconds)

    def __str__(self) -> str:
        """`, about 0:12:34 left` of all runs; empty before an arm has run.

        An arm that has not run yet is taken to last as long as the others do on average.
        """
        known = [second for arm, seconds in self._seconds.items() if arm != TEACHER for second in seconds]
        if not known:
            return ""
        left = 0.0
        for arm, runs in self._planned.items():
            own = self._seconds[arm] or known
            left += (runs - len(self._seconds[arm])) * sum(own) / len(own)
        return f", about {as_time(left / self._jobs)} left"
