"""What a value must be: in words, and whether one is that was read from JSON, or comes from a program."""

import dataclasses
import reprlib
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Made = TypeVar("Made", bound="DataclassInstance")

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
    """`a whole number from 1 to 9`, `a list of numbers, or null`, of a type as the schema has it."""
    if kind in _NAMES:
        return _NAMES[kind][many]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return f"{describe(arguments[0], many)} {arguments[1]}"
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


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a type, whatever its range: numbers finite, whole ones in 0..2**63 - 1, none a bool."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if origin is Annotated:
        return fits(value, arguments[0])
    if kind is type(None):
        return value is None
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2.0**1000  # finite
    if kind is int:
        return type(value) is int and 0 <= value < 2**63
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in arguments)
    if origin is list:
        return isinstance(value, list) and all(fits(one, arguments[0]) for one in value)
    if origin is tuple:
        return isinstance(value, tuple) and len(value) == len(arguments) and all(map(fits, value, arguments))
    if origin is dict:
        return isinstance(value, dict) and all(fits(one, arguments[1]) for one in value.values())
    return isinstance(value, kind)


def from_json(kind: type[Made], values: Any) -> Made:
    """A dataclass of what JSON holds; every field is checked.

    Raises:
        ValueError: it is no object, lacks a field, has another, or one has a value of another type.
    """
    if not isinstance(values, dict):
        raise ValueError("it must be an object")
    kinds = typing.get_type_hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for name in values:
        if name not in fields:
            raise ValueError(f"it has no {reprlib.repr(name)}")
    for name, item in fields.items():
        if name in values:
            if not fits(values[name], kinds[name]):
                raise ValueError(f"{name} is {reprlib.repr(values[name])}: it must be {describe(kinds[name])}")
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise ValueError(f"it lacks {name}")
    return kind(**values)
