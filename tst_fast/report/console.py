"""Printing of commands: whole lines, and how often a long task prints one."""

import time

from rich.console import Console

from tst_fast.errors import printable

EVERY = 30.0
"""Seconds between two progress lines of a log."""


def say(console: Console, message: str) -> None:
    """Print a message on one line: unwrapped, so that paths can be copied; names in it add neither markup nor lines."""
    console.print(printable(message), highlight=False, markup=False, soft_wrap=True)


def shows_bars(console: Console) -> bool:
    """Whether it can show progress bars: a terminal can; logs, pipes and notebooks get lines."""
    return console.is_interactive and not console.is_jupyter


def as_time(seconds: float) -> str:
    """`0:12:34`: hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


class Pace:
    """Whether a progress line is due: the first at once, then one every `EVERY` seconds."""

    def __init__(self) -> None:
        self._last: float | None = None

    def is_due(self, at_once: bool = False) -> bool:
        """Whether to print a line now, in any case if `at_once`; if so, the next is due `EVERY` seconds later."""
        now = time.perf_counter()
        if not at_once and self._last is not None and now - self._last < EVERY:
            return False
        self._last = now
        return True
