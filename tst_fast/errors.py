"""What the user can put right: shown as one message, without a traceback; and what a check found."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


class UserError(Exception):
    """Something outside the program is wrong: the message names it and the remedy."""


def nearest(name: str, known: Sequence[str]) -> str:
    """`; did you mean ...?` with the nearest known name, or nothing."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"; did you mean {found[0]!r}?" if found else ""


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
    state: Literal["good", "doubtful", "wrong"]
    found: str
    remedy: str = ""
