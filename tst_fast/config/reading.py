"""Configurations from presets, YAML files and dotted flags, and back to YAML."""

import argparse
import dataclasses
import functools
import itertools
import os
import re
import reprlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, set_parsing_settings

from tst_fast.config.checks import check
from tst_fast.config.help import help_of, topic_of
from tst_fast.config.imports import IMPORT, SETTINGS, require_said, saying
from tst_fast.config.kinds import describe
from tst_fast.config.ranges import settings_with_kinds
from tst_fast.config.schema import Config, FeatureConfig
from tst_fast.config.suggestions import did_you_mean
from tst_fast.config.yaml_files import read_yaml, refuse_ambiguous
from tst_fast.errors import UserError, nearest

PRESETS = Path(__file__).parents[1] / "presets"
DEFAULT = "digits"
"""The preset of a command line that says nothing of the data."""
USAGE = "%(prog)s [--config PRESET_OR_FILE] [--a.b value ...]"
LINES, WIDTH = 5, 500
"""Of what a parser says."""


def presets() -> list[str]:
    """Names that `--config` knows besides files, as `task/name`; the name alone serves where it is unique."""
    return sorted(path.relative_to(PRESETS).with_suffix("").as_posix() for path in PRESETS.glob("*/*.yaml"))


def add_config(parser: ArgumentParser) -> None:
    """Give a parser `--config` and a flag for every value of `Config`."""
    parser.add_argument("--config", action="config", help="a preset (`--help presets` lists them), or a YAML file")
    parser.add_argument("--import", metavar=IMPORT["metavar"], help=IMPORT["help"])  # `_said` takes them
    parser.add_class_arguments(Config)


def parse(parser: ArgumentParser, arguments: Sequence[str]) -> tuple[Config, argparse.Namespace]:
    """Read a command line: the configuration, and whatever other arguments `parser` has.

    Without `--config` and `--data.name` it is the default preset, and the first process says so. Where help is asked
    for, it is printed, and the program ends.

    Raises:
        UserError: an unknown key or flag (with what may be meant), a bad value (with its name), or a flag of the data
            where nothing says which data.
    """
    if (topic := topic_of(arguments)) is not None:
        print(help_of(parser, topic, presets()))
        sys.exit(0)
    said, arguments = _said(arguments)
    by_default = not _names_its_data(arguments)
    words = ["--config", DEFAULT, *arguments] if by_default else arguments
    try:
        values = vars(parser.instantiate(parser.parse_args(_with_preset_files(words))))
    except UserError:
        raise
    except Exception as error:  # what the parser and YAML raise of bad input is of any kind
        raise UserError(_explain(str(error) or type(error).__name__, parser)) from None
    names = {item.name for item in dataclasses.fields(Config)}
    config = Config(**{name: values[name] for name in names})
    for file in filter(_is_of_a_run, _configurations(arguments)):
        require_said(settings_of(config), [*said, *_values(arguments)], file)
    check(config)
    if by_default and os.environ.get("RANK", "0") == "0":
        print(f"no --config is given: {DEFAULT}, scikit-learn's handwritten digits")
    return config, argparse.Namespace(**{name: value for name, value in values.items() if name not in names})


def make_parser(program: str, description: str) -> ArgumentParser:
    """A parser whose errors `parse` can explain."""
    # By default a value {class_path: any.Class} is an object of that class, made while the configuration is read.
    ours = [f"{FeatureConfig.__module__}.{FeatureConfig.__name__}"]
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=ours, instantiate_subclass_spec_in_any=False)
    return ArgumentParser(
        prog=program,
        usage=USAGE,
        description=description,
        exit_on_error=False,
        allow_abbrev=False,  # it would be a typo that goes unseen
    )


def from_flags(flags: Sequence[str]) -> Config:
    """The configuration that a command line without anything else describes.

    Raises:
        UserError: as `parse`.
    """
    return parse(_config_parser(), flags)[0]


@functools.cache
def _config_parser() -> ArgumentParser:
    """Of nothing but settings; to make it takes longer than to use it."""
    parser = make_parser("config", "")
    add_config(parser)
    return parser


def load(file: Path, said: Sequence[str] = ()) -> Config:
    """Read a configuration that `save` wrote, or any YAML file of the same form, which may be anyone's.

    Args:
        file: the configuration.
        said: import paths of code that the user has named, see `imports.require_said`.

    Raises:
        UserError: as `parse`, or there is no such file, or it names other code.
    """
    config = from_flags(["--config", str(file), *saying(said)])
    require_said(settings_of(config), said, str(file))
    return config


def load_saved(file: Path, overrides: Mapping[str, str], said: Sequence[str] = ()) -> Config:
    """Read what `save` wrote, all of it.

    Args:
        file: the configuration of a run.
        overrides: settings in place of the file's, by their dotted names.
        said: as for `load`.

    Raises:
        UserError: as `load`, or a setting is missing: the file was cut short.
    """
    content = read_yaml(file)
    missing = [name for name in _known_settings() if not _is_in(content, name.split("."))]
    if missing:
        some = f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}"
        raise UserError(
            f"{file} lacks {len(missing)} settings ({some}): it was cut short, or of another version: "
            "put back the file that the run began with, or start the run anew"
        )
    said = [*said, *overrides.values()]
    flags = [f"--{key}={value}" for key, value in overrides.items()]
    config = from_flags(["--config", str(file), *saying(said), *flags])
    require_said(settings_of(config), said, str(file))
    return config


def settings_begun_with(file: Path, asked: Config) -> dict[str, Any]:
    """What `settings_of` gives for a configuration that `save` wrote, whose run is asked for again.

    Args:
        file: the configuration of a run.
        asked: names the code of the user's that may be run.

    Raises:
        UserError: as `load_saved`.
    """
    now = settings_of(asked)
    return settings_of(load_saved(file, {}, [str(now[name]) for name in SETTINGS]))


def settings_of(config: Config) -> dict[str, Any]:
    """Every value by its dotted name, as what YAML has."""
    return dict(_flat(config, ""))


def _flat(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for item in dataclasses.fields(group):
        value, name = getattr(group, item.name), f"{prefix}{item.name}"
        if dataclasses.is_dataclass(value):
            yield from _flat(value, f"{name}.")
        else:
            yield name, _plain(value)


def _is_in(content: Any, names: Sequence[str]) -> bool:
    """Whether nested mappings have a value of this dotted name, split."""
    if not isinstance(content, dict) or names[0] not in content:
        return False
    return len(names) == 1 or _is_in(content[names[0]], names[1:])


def save(config: Config, file: Path) -> None:
    """Write every value, resolved, as YAML."""
    from tst_pipelines.writing import write_text_whole  # imports torch, for which the message of a typo should not wait

    write_text_whole(file, yaml.safe_dump(_plain(config), sort_keys=False))


def _said(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The values of every `--import`, and the other words."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--import", **IMPORT)
    try:
        known, others = first.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UserError(str(error)) from None
    return known.said, others


def _configurations(arguments: Sequence[str]) -> list[str]:
    """The files that `--config` names."""
    apart = [value for word, value in itertools.pairwise(arguments) if word == "--config"]
    return [*apart, *_values([word for word in arguments if word.startswith("--config=")])]


def _values(arguments: Sequence[str]) -> list[str]:
    """Whatever may be a value on a command line."""
    return [word.partition("=")[2] if word.startswith("--") else word for word in arguments]


def _is_of_a_run(name: str) -> bool:
    """Whether a configuration lies in what a run left, or in what was made of that: then it may be anyone's."""
    left = ("metrics.jsonl", "student.safetensors", "dump.json", "checkpoints")
    return any((Path(name).parent / one).exists() for one in left)


def _names_its_data(arguments: Sequence[str]) -> bool:
    """Whether a command line gives a configuration or the name of a data set.

    Raises:
        UserError: neither, but another flag of the data: of which data set, nothing says.
    """
    flags = [word.partition("=")[0] for word in arguments]
    if "--config" in flags or "--data.name" in flags:
        return True
    given = [flag for flag in flags if flag.startswith("--data.")]
    if given:
        raise UserError(
            f"{given[0]} is given, but nothing says which data set it is for: add --config PRESET_OR_FILE (--config "
            "folder is for class folders of images), or --data.name"
        )
    return False


def _with_preset_files(arguments: Sequence[str]) -> list[str]:
    """`--config digits` becomes `--config .../presets/digits.yaml`; files are left as they are."""
    result = list(arguments)
    for word in arguments:
        refuse_ambiguous(word)
        _refuse_section(word)
    for i, word in enumerate(result):
        if word == "--config" and i + 1 < len(result) and not result[i + 1].startswith("--"):
            result[i + 1] = str(_preset_or_file(result[i + 1]))
        elif word.startswith("--config="):
            result[i] = f"--config={_preset_or_file(word.removeprefix('--config='))}"
    return result


def _preset_or_file(name: str) -> Path:
    found = [preset for preset in presets() if name in (preset, preset.partition("/")[2])]
    if len(found) == 1:
        return PRESETS / f"{found[0]}.yaml"
    if found:
        raise UserError(f"--config {name} is the name of several presets: say {' or '.join(found)}")
    if not Path(name).is_file():
        known = [*presets(), *(preset.partition("/")[2] for preset in presets())]
        of_a_run = (Path(name) / "config.yaml").is_file()
        meant = f"; did you mean '{name}/config.yaml'?" if of_a_run else nearest(name, known)
        raise UserError(
            f"--config {name}: no file, and no preset of this name{meant} `tst-fast train --help presets` lists them."
        )
    _require_settings(read_yaml(Path(name)), "")
    return Path(name)


@functools.cache
def _known_settings() -> tuple[str, ...]:
    return tuple(settings_of(Config()))


def _section_example(name: str) -> str | None:
    """The first setting of a section; None of what is no section."""
    return next((setting for setting in _known_settings() if setting.startswith(f"{name}.")), None)


def _refuse_section(word: str) -> None:
    flag = word.partition("=")[0].removeprefix("--")
    if word.startswith("--") and (example := _section_example(flag)):
        raise UserError(f"--{flag} is a section of settings: give them one by one, such as --{example} VALUE")


def _require_settings(content: Mapping[Any, Any], section: str) -> None:
    """Refuse keys of a file that are no settings, and sections that hold something else.

    Args:
        content: what the file has in the section.
        section: its name with a dot behind it; empty for the whole file.
    """
    for key, value in content.items():
        name = f"{section}{key}"
        if name in _known_settings():
            continue
        if not _section_example(name):
            raise UserError(_unknown(name, _known_settings()))
        if not isinstance(value, dict):
            raise UserError(
                f"{name} is {reprlib.repr(value)}, but it is a section: give its settings as keys and values, with a "
                "space after each colon"
            )
        _require_settings(value, f"{name}.")


def _explain(message: str, parser: ArgumentParser) -> str:
    """What jsonargparse says, with what may be meant, or in words."""
    if found := re.search(r"unrecognized arguments: --([\w.-]+)", message):
        options = [option[2:] for action in parser._actions for option in action.option_strings if option[:2] == "--"]
        return _unknown(found[1], options)
    if found := re.search(r"unrecognized arguments: (.*)", message):
        return f"{found[1]} belongs to no flag: give settings as --SECTION.NAME VALUE, a preset as --config PRESET"
    return _refused_value(message, parser) or _shortened(re.sub(r"Parser key \"([\w.]+)\":\s*", r"--\1: ", message))


def _unknown(name: str, known: Sequence[str]) -> str:
    return f"unknown setting {name!r}{did_you_mean(name, known)} `--help SECTION` lists them, such as `--help data`."


def _refused_value(message: str, parser: ArgumentParser) -> str | None:
    """What jsonargparse says of a value of another type, in words; None where it says something else."""
    *_, key = re.findall(r"(?:Parser key \"|--)([\w.]+)\"?:", message) or [""]
    value = re.search(r"Given value: (.*)", message, re.DOTALL) or re.search(r"Got value: (.*)", message)
    own = {action.dest: getattr(action, "_typehint", None) for action in parser._actions}
    kind = (own | {name: kind for name, _, kind in settings_with_kinds(Config())}).get(key)
    if kind is None or value is None:
        return None
    return f"--{key} is {reprlib.repr(value[1])}: it must be {describe(kind)}"


def _shortened(message: str) -> str:
    """The first of many lines, and of long ones their beginning."""
    return "\n".join(line[:WIDTH] for line in message.splitlines()[:LINES])


def _plain(value: Any) -> Any:
    """Dataclasses, paths and tuples as what YAML has."""
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
