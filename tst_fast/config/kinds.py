"""What a setting must be, in words."""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, Literal

_NAMES: dict[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "true or false"),
    str: ("text", "text"),
    Path: ("a file or folder", "files or folders"),
    type(None): ("null", "null"),
    Any: ("anything", "anything"),
}
"""One of the kind, and several."""


def describe(kind: Any, many: bool = False) -> str:
    """`a whole number`, `a list of numbers, or null`, of a type as the schema has it."""
    if kind in _NAMES:
        return _NAMES[kind][many]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        words = ", ".join(map(repr, arguments))
        return f"one of {words}" if len(arguments) > 1 else words
    if origin in (typing.Union, types.UnionType):
        *first, last = map(describe, arguments)
        return f"{', '.join(first)}, or {last}"
    if origin is list:
        return f"a list of {describe(arguments[0], many=True)}"
    if origin is tuple:
        return f"a list of {len(arguments)} {describe(arguments[0], many=True)}"
    if origin is dict:
        return f"a mapping of {describe(arguments[0], many=True)} to {describe(arguments[1], many=True)}"
    if dataclasses.is_dataclass(kind):
        return f"mappings with {', '.join(item.name for item in dataclasses.fields(kind))}"
    raise TypeError(f"no words for {kind}")
