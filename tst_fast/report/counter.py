"""How far a command has come that looks at many things: a bar on a terminal, else a line now and then."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tst_fast.report.console import Pace, as_time, say, shows_bars


class Counter:
    """Counts within a `with`.

    Args:
        console: to print to.
        what: is counted, in words.
        total: how many there are; None while it is not known.
    """

    def __init__(self, console: Console, what: str, total: int | None = None) -> None:
        self.console, self.what, self.total, self.done = console, what, total, 0
        self._pace, self._started = Pace(), time.perf_counter()
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self._bars = Progress(*columns, console=console) if shows_bars(console) else None
        self._bar = TaskID(0)

    def __enter__(self) -> "Counter":
        if self._bars is not None:
            self._bar = self._bars.add_task(self.what, total=self.total)
            self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def update(self, done: int, total: int | None = None) -> None:
        """Say, if it is time to, how many are done, and of how many."""
        self.done, self.total = done, total or self.total
        if self._bars is not None:
            self._bars.update(self._bar, completed=self.done, total=self.total)
        elif self._pace.is_due():
            say(self.console, self._line())

    def advance(self) -> None:
        """One more is done."""
        self.update(self.done + 1)

    def say(self, message: str) -> None:
        """Print a line of its own, above the bar."""
        say(self.console, message)

    def _line(self) -> str:
        seconds = time.perf_counter() - self._started
        if self.total is None:
            return f"{self.what}: {self.done:,}, {as_time(seconds)} so far"
        left = as_time(seconds / self.done * (self.total - self.done)) if self.done else "unknown time"
        return f"{self.what}: {self.done:,} of {self.total:,}, {left} left"
