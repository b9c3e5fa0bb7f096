"""Progress of a command over many items: a bar on a terminal, else a line now and then."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tst_fast.report.console import Pace, as_time, say, shows_bars


class Counter:
    """A context manager that counts items.

    Args:
        console: to print to.
        what: name of the items.
        total: how many there are; None while unknown.
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
        """Set how many items are done, and of how many; prints it if due."""
        self.done, self.total = done, total or self.total
        if self._bars is not None:
            self._bars.update(self._bar, completed=self.done, total=self.total)
        elif self._pace.is_due():
            say(self.console, self._line())

    def advance(self) -> None:
        """Count one more item."""
        self.update(self.done + 1)

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        say(self.console, message)

    def _line(self) -> str:
        seconds = time.perf_counter() - self._started
        if self.total is None:
            return f"{self.what}: {self.done:,}, {as_time(seconds)} so far"
        left = as_time(seconds / self.done * (self.total - self.done)) if self.done else "unknown time"
        return f"{self.what}: {self.done:,} of {self.total:,}, {left} left"
