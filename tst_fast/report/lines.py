"""Progress lines of a run, for logs, where there are no bars."""

import time
from collections import defaultdict

from rich.console import Console

from tst_fast.report.console import Pace, as_time, say
from tst_fast.report.metrics import Evaluated, Event, StepsTaken
from tst_fast.report.observer import Observer, Opening


class Lines(Observer):
    """Prints the progress of a run at the first step of each stage, then periodically.

    Args:
        console: to print to.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._pace, self._begun = Pace(), set[str]()
        self._scores: dict[str, str] = {}
        self._opening: Opening | None = None
        self._time_left: TimeLeft | None = None

    def opened(self, opening: Opening) -> None:
        """Start the clock."""
        self._opening, self._time_left = opening, TimeLeft(opening)

    def event(self, event: Event) -> None:
        """Print the progress if a line is due."""
        assert self._opening is not None and self._time_left is not None  # events come after `opened`
        self._time_left.event(event)
        if isinstance(event, Evaluated) and event.role == event.stage:
            name, title = next(iter(self._opening.titles.items()))
            self._scores[event.role] = f"{title} {100 * event.scores[name]:.1f} %"
        if not isinstance(event, StepsTaken) or not self._opening.steps[event.stage]:
            return  # an interleaved search runs within the student's passes
        if self._pace.is_due(at_once=event.stage not in self._begun):
            self._begun.add(event.stage)
            say(self.console, self._line(event, self._opening, self._time_left))

    def _line(self, event: StepsTaken, opening: Opening, time_left: "TimeLeft") -> str:
        student = "student" if event.stage == "search" else event.stage
        stage = "search before student" if event.stage == "search" else event.stage
        said = [f"loss {event.means['loss']:.4g}", f"{event.images_per_second:,.0f} images/s"]
        if event.stage in self._scores:
            said.append(self._scores[event.stage])
        said.append(f"{time_left} left")
        if event.memory is not None:
            said.append(f"peak memory {event.memory / 2**30:.1f} GiB")
        return (
            f"{stage} epoch {event.epoch + 1:,} of {opening.epochs[student]:,}, step {event.stage_step:,} of "
            f"{opening.steps[event.stage]:,}: {', '.join(said)}"
        )


class TimeLeft:
    """Estimated time left: remaining steps of each stage times their mean time, with all that came between steps.

    Args:
        opening: of the run, whose first step begins now.
    """

    def __init__(self, opening: Opening) -> None:
        self._steps, self._before = opening.steps, opening.taken
        self._taken: dict[str, int] = dict(opening.taken)
        self._seconds: dict[str, float] = defaultdict(float)
        self._last = time.perf_counter()

    def event(self, event: Event) -> None:
        """Attribute the time since the last event to the stage of this one."""
        now = time.perf_counter()
        # An interleaved search has no passes of its own: it runs within the student's.
        stage = event.stage if self._steps[event.stage] else "student"
        self._seconds[stage] += now - self._last
        self._last = now
        if isinstance(event, StepsTaken) and stage == event.stage:
            self._taken[stage] = event.stage_step

    def __str__(self) -> str:
        """`0:12:34`, or `over 0:12:34` while a stage has not taken its first step."""
        seconds, whole = 0.0, True
        for stage, steps in self._steps.items():
            taken, counted = self._taken[stage], self._taken[stage] - self._before[stage]
            if counted:
                seconds += (steps - taken) * self._seconds[stage] / counted
            else:
                whole = whole and taken >= steps
        return f"{'' if whole else 'over '}{as_time(seconds)}"
