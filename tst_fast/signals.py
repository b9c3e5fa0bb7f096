"""Signal handlers that are installed for a while."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
"""Those that ask a run to stop."""


@contextmanager
def handled_by(
    handler: Callable[[int, FrameType | None], object], numbers: Sequence[signal.Signals] = SIGNALS
) -> Iterator[None]:
    """Within, a handler has the signals, if this is the main thread: Python lets no other."""
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handler) for number in numbers} if is_main else {}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
