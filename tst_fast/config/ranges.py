"""Which values a setting may have at all, whatever the others are: null, and the range of each number."""

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from tst_fast.errors import UserError


def check_ranges(config: Any) -> None:
    """Refuse null where it means nothing.

    Raises:
        UserError: the message names the flag, its value and what it may be.
    """
    for name, value, kind in _settings(config, ""):
        if value is None and type(None) not in typing.get_args(kind):
            raise UserError(f"--{name} is null, which means nothing here: give a value, or leave the setting out")


def _settings(group: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, value and type of each setting in a group; of a group that is null, the group's."""
    kinds = typing.get_type_hints(type(group))
    for item in dataclasses.fields(group):
        value, name = getattr(group, item.name), f"{prefix}{item.name}"
        if dataclasses.is_dataclass(value):
            yield from _settings(value, f"{name}.")
        else:
            yield name, value, kinds[item.name]
