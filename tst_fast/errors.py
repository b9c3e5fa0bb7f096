"""What the user can put right: shown as one message, without a traceback; and what a check found."""

import difflib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

FLAGS = {
    "crop": "--data.crop pad",
    "download": "--data.download true",
    "elastic": "--elastic",
    "exclude": "--data.exclude FILE, as `tst-fast verify-data FOLDER --write-exclude FILE` writes it",
    "ids": "--data.ids",
    "ignored": "--data.ignored",
    "loader": "--data.loader dali",
}
"""What to say where `tst_pipelines` names an option."""


class UserError(Exception):
    """Something outside the program is wrong: the message names it and the remedy."""


class Interrupted(Exception):
    """A signal asked the program to stop, and it has put everything away.

    Attributes:
        signal: its number; the exit status is 128 more, as a shell has it.
    """

    def __init__(self, signal: int, message: str) -> None:
        super().__init__(message)
        self.signal = int(signal)


def nearest(name: str, known: Sequence[str]) -> str:
    """`; did you mean ...?` with the nearest known name, or a full stop where none is near."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"; did you mean {found[0]!r}?" if found else "."


@contextmanager
def errors_as_messages(stopped: str = "stopped") -> Iterator[None]:
    """Errors that the user can put right, and Ctrl-C, end the program with a message alone.

    Args:
        stopped: the message of Ctrl-C.
    """
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        sys.exit(128 + interrupted.signal)
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        sys.exit(130)
    except ValueError as error:
        from tst_pipelines import DataError  # imports torch, for which the message of a typo should not wait

        if not isinstance(error, DataError):
            raise
        flags = " or ".join(FLAGS[option] for option in error.options if option in FLAGS)
        sys.exit(f"error: {error} ({flags})" if flags else f"error: {error}")


State = Literal["good", "doubtful", "wrong"]


@dataclass(frozen=True)
class Finding:
    """What one check of the doctor found.

    Attributes:
        check: what was looked at.
        state: good, doubtful (perhaps meant) or wrong.
        found: what there is.
        remedy: what to do about it; empty if it is good.
    """

    check: str
    state: State
    found: str
    remedy: str = ""
