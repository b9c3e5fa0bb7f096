"""`--help` on one screen, and `--help SECTION` for the rest."""

import argparse
import dataclasses
import json
import shlex
import textwrap
from collections.abc import Sequence

from tst_fast.config.kinds import describe
from tst_fast.config.ranges import settings_with_kinds
from tst_fast.config.schema import Config
from tst_fast.config.suggestions import SYNONYMS
from tst_fast.errors import UserError, nearest

WIDTH = 100
NAMES = 22
"""Columns of what is explained."""
GENERAL = "run"
"""The section of the settings that are in none."""
FLAGS = ("-h", "--help")


def topic_of(words: Sequence[str]) -> str | None:
    """What help is wanted of: empty for an overview, None where none is."""
    at = next((number for number, word in enumerate(words) if word.partition("=")[0] in FLAGS), None)
    if at is None:
        return None
    _, given, topic = words[at].partition("=")
    following = words[at + 1] if not given and at + 1 < len(words) else ""
    return topic if given else "" if following.startswith("-") else following


def help_of(parser: argparse.ArgumentParser, topic: str, presets: Sequence[str]) -> str:
    """A page of help.

    Args:
        parser: with `Config`'s settings and others.
        topic: empty, a section such as `policy`, a setting or an option, part of its name such as `optimizer`, or
            `presets`.
        presets: their names.

    Raises:
        UserError: there is no such section.
    """
    if topic == "":
        return _overview(parser)
    if topic == "presets":
        return "\n".join(presets)
    topic = topic.removeprefix("--")
    topic = SYNONYMS.get(topic, topic)
    every = [*_own(parser), *_settings(parser)]
    found = _section(parser, topic) or [one for one in every if f".{topic}." in f".{one.dest}."]
    if not found:
        known = [*_sections(), "presets", *(part for one in every for part in one.dest.split("."))]
        raise UserError(f"--help {topic}: no such section or setting{nearest(topic, known)} {_known()}")
    return "\n".join(map(_explained, found))


def _overview(parser: argparse.ArgumentParser) -> str:
    """The command's own options, and the sections."""
    counts = {name: len(_section(parser, name)) for name in _sections()}
    return "\n".join(
        [
            parser.format_usage().strip(),
            "",
            f"{parser.description}",
            "",
            *map(_explained, _own(parser)),
            "",
            "Settings, each --SECTION.NAME VALUE; `--help SECTION` explains them, `--help SECTION.NAME` one:",
            "",
            *(_line(name, f"{about.rstrip('.')} ({counts[name]})") for name, about in _sections().items()),
        ]
    )


def _explained(option: argparse.Action) -> str:
    """An option on as many lines as it takes: what it does, what it may be, and what it is by default."""
    name, kind = f"--{option.dest}", getattr(option, "_typehint", None)
    about = [describe(kind)] if kind else []
    if option.nargs == "+":
        about.append(f"default: {shlex.join(option.default)}")
    elif kind:
        about.append(f"default: {json.dumps(option.default, default=str)}")
    words = f"{(option.help or '').rstrip('.')} ({'; '.join(about)})" if about else option.help or ""
    text = " ".join(words.split())
    column = " " * (NAMES + 2)
    lines = textwrap.fill(text, WIDTH, initial_indent=column, subsequent_indent=column)
    return f"  {name:<{NAMES}}{lines.lstrip()}" if len(name) < NAMES else f"  {name}\n{lines}"


def _line(name: str, about: str | None) -> str:
    """On one line, what it is cut short."""
    text = " ".join((about or "").split())
    return f"  {name:<{NAMES}}{textwrap.shorten(text, WIDTH - NAMES - 2, placeholder=' ...')}"


def _own(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The options that are no settings."""
    roots = {item.name for item in dataclasses.fields(Config)} | {"help", "print_config", "print_shtab"}
    return [one for one in parser._actions if one.option_strings and one.dest.split(".")[0] not in roots]


def _settings(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    known = {name for name, *_ in settings_with_kinds(Config())}
    return [action for action in parser._actions if action.dest in known]


def _sections() -> dict[str, str]:
    """By name, from the documentation of `Config`, the sections and what each is about."""
    text = (Config.__doc__ or "").partition("Args:")[2]
    found = {GENERAL: "its name, its task, its seed, how often it is evaluated and saved."}
    groups = {item.name for item in dataclasses.fields(Config) if _is_group(item)}
    for line in text.splitlines():
        name, _, about = line.strip().partition(": ")
        if name in groups:
            found[name] = about
    return found


def _is_group(item: dataclasses.Field) -> bool:
    return isinstance(item.default_factory, type) and dataclasses.is_dataclass(item.default_factory)


def _section(parser: argparse.ArgumentParser, topic: str) -> list[argparse.Action]:
    """The settings of a section, or the one of this name."""
    if topic == GENERAL:
        return [action for action in _settings(parser) if "." not in action.dest]
    return [one for one in _settings(parser) if one.dest == topic or one.dest.startswith(f"{topic}.")]


def _known() -> str:
    return f"Sections are {', '.join(_sections())}; `--help presets` lists the presets."
