"""What is known of a fault made on purpose."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A fault.

    Attributes:
        what: it does.
        file: it is made in, relative to the root.
        old: text of the file, exactly once in it.
        new: what stands there instead.
        test: pytest's name of one that must fail, relative to `tests/`.
    """

    what: str
    file: str
    old: str
    new: str
    test: str
