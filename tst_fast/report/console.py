"""Where commands print: what is said now and then while something long goes on, a line of its own each."""

import time

from rich.console import Console

from tst_fast.errors import printable

EVERY = 30.0
"""Seconds between two lines of a log."""


def say(console: Console, message: str) -> None:
    """Print a message on one line: not wrapped, for names of files are copied; neither markup nor forged by a name."""
    console.print(printable(message), highlight=False, markup=False, soft_wrap=True)


def shows_bars(console: Console) -> bool:
    """Whether bars move on it: on a terminal; not in a log, in a pipe or in a notebook, which get lines."""
    return console.is_interactive and not console.is_jupyter


def as_time(seconds: float) -> str:
    """`0:12:34`: hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


class Pace:
    """When the next line is due: at once, and then every `EVERY` seconds."""

    def __init__(self) -> None:
        self._last: float | None = None

    def is_due(self, at_once: bool = False) -> bool:
        """Whether to say something now, as in any case `at_once`; if so, the next is due `EVERY` seconds later."""
        now = time.perf_counter()
        if not at_once and self._last is not None and now - self._last < EVERY:
            return False
        self._last = now
        return True
