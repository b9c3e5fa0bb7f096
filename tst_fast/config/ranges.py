"""Types of settings that are numbers, each with the values that it may have, and the check of them."""

import dataclasses
import math
import reprlib
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from tst_fast.config.kinds import describe
from tst_fast.errors import UserError


@dataclass(frozen=True, repr=False)
class Range:
    """From one number to another.

    Attributes:
        low: the least.
        high: the greatest.
        above: whether `low` itself is left out.
        below: whether `high` itself is.
    """

    low: float
    high: float
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        from_low = value > self.low if self.above else value >= self.low
        return from_low and (value < self.high if self.below else value <= self.high)

    def __repr__(self) -> str:
        if not self.above and not self.below:
            return f"from {self.low:,} to {self.high:,}"
        low = f"{'above' if self.above else 'at least'} {self.low:,}"
        return f"{low} and {'below' if self.below else 'at most'} {self.high:,}"


SIDE = Range(1, 2**16)

Count = Annotated[int, Range(1, 10**9)]
BatchSize = Annotated[int, Range(1, 10**6)]
Side = Annotated[int, SIDE]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Epochs = Annotated[int, Range(0, 10**6)]
LabelNumber = Annotated[int, Range(0, 2**16 - 1)]
Share = Annotated[float, Range(0, 1)]
PositiveShare = Annotated[float, Range(0, 1, above=True)]
BelowOne = Annotated[float, Range(0, 1, below=True)]
BetweenZeroAndOne = Annotated[float, Range(0, 1, above=True, below=True)]
NonNegative = Annotated[float, Range(0, 1e30)]
Positive = Annotated[float, Range(0, 1e30, above=True)]
ResizeFactor = Annotated[float, Range(0, 100, above=True)]
Channel = Annotated[float, Range(-1000, 1000)]
Deviation = Annotated[float, Range(0, 1000, above=True)]


def range_of(kind: Any) -> Range | None:
    """The range of the numbers in a type, wherever they are in it; None where they have none."""
    if isinstance(kind, Range):
        return kind
    return next(filter(None, map(range_of, typing.get_args(kind))), None)


def check_ranges(config: Any) -> None:
    """Refuse null where it means nothing, and numbers that are not finite or out of their range.

    Raises:
        UserError: the message names the flag, its value and what it may be.
    """
    for name, value, kind in settings_with_kinds(config):
        if value is None and type(None) not in typing.get_args(kind):
            raise UserError(f"--{name} is null, which means nothing here: give a value, or leave the setting out")
        allowed = range_of(kind)
        for number in _numbers(value):
            if isinstance(number, float) and not math.isfinite(number):
                raise UserError(f"--{name} is {value}: it must be finite")
            if allowed is not None and number not in allowed:
                raise UserError(f"--{name} is {reprlib.repr(value)}: it must be {describe(kind)}")


def settings_with_kinds(group: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, value and type, with its range, of each setting in a group and in those inside it."""
    kinds = typing.get_type_hints(type(group), include_extras=True)
    for item in dataclasses.fields(group):
        value, name = getattr(group, item.name), f"{prefix}{item.name}"
        if dataclasses.is_dataclass(value):
            yield from settings_with_kinds(value, f"{name}.")
            continue
        yield name, value, kinds[item.name]
        for inner in value if isinstance(value, list) else []:
            if dataclasses.is_dataclass(inner):
                yield from settings_with_kinds(inner, f"{name}.")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner)
    elif isinstance(value, dict):
        yield from _numbers([*value.keys(), *value.values()])
