"""`--help` on one screen, and `--help SECTION` for the rest."""

import argparse
import dataclasses
import textwrap
from collections.abc import Sequence

from tst_fast.config.ranges import settings_with_kinds
from tst_fast.config.schema import Config
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
        topic: empty, a section such as `policy`, a setting, or `presets`.
        presets: their names.

    Raises:
        UserError: there is no such section.
    """
    if topic == "":
        return _overview(parser)
    if topic == "presets":
        return "\n".join(presets)
    topic = topic.removeprefix("--")
    found = _section(parser, topic)
    if not found:
        known = [*_sections(), "presets", *(action.dest for action in _settings(parser))]
        raise UserError(f"--help {topic}: no such section or setting{nearest(topic, known)} {_known()}")
    group = argparse._ArgumentGroup(parser, f"--{topic}")
    group._group_actions = found
    parser._action_groups = [group]  # of a parser that has nothing else to do
    return parser.format_help()


def _overview(parser: argparse.ArgumentParser) -> str:
    """The command's own options, and the sections."""
    roots = {item.name for item in dataclasses.fields(Config)} | {"help", "print_config", "print_shtab"}
    own = [one for one in parser._actions if one.option_strings and one.dest.split(".")[0] not in roots]
    lines = [_in_full(", ".join(one.option_strings), one.help) for one in own]
    counts = {name: len(_section(parser, name)) for name in _sections()}
    return "\n".join(
        [
            f"usage: {parser.usage}",
            "",
            f"{parser.description}",
            "",
            *lines,
            "",
            "Settings, each --SECTION.NAME VALUE; `--help SECTION` explains them, `--help SECTION.NAME` one:",
            "",
            *(_line(name, f"{about.rstrip('.')} ({counts[name]})") for name, about in _sections().items()),
        ]
    )


def _in_full(name: str, about: str | None) -> str:
    """On as many lines as it takes."""
    begin = f"  {name:<{NAMES}}"
    return textwrap.fill(
        " ".join((about or "").split()), WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin)
    )


def _line(name: str, about: str | None) -> str:
    """On one line, what it is cut short."""
    text = " ".join((about or "").split())
    return f"  {name:<{NAMES}}{textwrap.shorten(text, WIDTH - NAMES - 2, placeholder=' ...')}"


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
