"""YAML as this program takes it: each key once, no aliases, of a size that a person writes."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from tst_fast.errors import UserError, reason

MAX_BYTES = 1_000_000
MAX_FLAG = 100


class _Loader(yaml.SafeLoader):
    """Refuses what YAML, or a parser of it, allows and nobody means."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases are not taken", self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, value in node.value:
            if _lacks_space(key, value):
                problem = f"a space is missing after the colon of {key.value}"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
            if isinstance(key.value, str):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _lacks_space(key: Any, value: Any) -> bool:
    """Whether a key and its value are written as `{a:1}`, which YAML reads as one word, or as `{a:[1]}`."""
    if not isinstance(key, yaml.ScalarNode) or key.style is not None:
        return False  # a quoted key needs no space
    if isinstance(value, yaml.ScalarNode) and value.start_mark.index == value.end_mark.index:  # there is none
        return ":" in key.value
    return value.start_mark.index == key.end_mark.index + 1


def refuse_ambiguous(word: str) -> None:
    """Refuse what `_Loader` refuses in a value on the command line.

    Raises:
        UserError: it names the flag.
    """
    flag, _, value = word.partition("=") if word.startswith("--") else ("", "", word)
    if len(value) > MAX_BYTES:
        raise UserError(f"{flag[:MAX_FLAG]} has more than {MAX_BYTES:,} characters")
    if not value.lstrip().startswith(("{", "[", "&", "!")):
        return  # a plain value, such as *.tar
    try:
        yaml.load(value, Loader=_Loader)
    except yaml.constructor.ConstructorError as error:
        raise UserError(f"{flag[:MAX_FLAG]}: {error.problem}") from None
    except RecursionError:
        raise UserError(f"{flag[:MAX_FLAG]}: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError):
        pass  # no YAML: the parser says so


def read_yaml(file: Path) -> dict[str, Any]:
    """What a file holds, as plain values; numbers such as 1e-3 may be text.

    Raises:
        UserError: it cannot be read, is no YAML, holds something else than keys and values, or what `_Loader` refuses.
    """
    try:
        if file.stat().st_size > MAX_BYTES:
            raise UserError(f"{file} has more than {MAX_BYTES:,} bytes: it is no configuration")
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {reason(error)}") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        missing = ": a space may be missing after a colon" if "mapping values" in str(error.problem) else ""
        raise UserError(f"{file}{line}: {error.problem}{missing}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is no YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} must hold keys and values, such as `seed: 1`; it holds {type(content).__name__}")
    return content
