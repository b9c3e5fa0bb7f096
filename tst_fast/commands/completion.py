"""`tst-fast completion SHELL`: what makes a shell complete the command's words, to be put where the shell reads it."""

import argparse
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tst_fast.config.data import DATA_SETS
from tst_fast.config.ranges import settings_with_kinds
from tst_fast.config.reading import presets
from tst_fast.config.schema import Config
from tst_fast.errors import UserError, errors_as_messages

SHELLS = ("bash", "zsh", "tcsh")
CONFIGURED = {
    "train": ("--resume", "--elastic", "--override", "--evaluate_only", "--dry_run", "--import"),
    "compare": ("--folder", "--arms", "--seeds", "--fraction_seeds", "--jobs"),
    "table": ("--folder", "--arms", "--seeds", "--jobs", "--part"),
    "doctor": ("--images",),
    "verify-data": ("--threads", "--write-exclude"),
}
"""Commands that take the settings of a run, each with its own flags."""
OTHERS = {
    "export": ("--policy", "--onnx", "--hub", "--to", "--size", "--repository", "--private", "--import", "--output"),
    "predict": ("--output", "--import"),
    "replay": ("--import",),
    "report": ("--output",),
    "completion": (),
}
NAMES: dict[str, Sequence[str]] = {"data.name": DATA_SETS, "loss.name": ("kd", "dkd", "dist")}
"""Of settings that are text, those with well-known values."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the script."""
    about = 'Prints what makes a shell complete words: eval "$(tst-fast completion bash)"'
    parser = argparse.ArgumentParser("tst-fast completion", description=about)
    parser.add_argument("shell", choices=SHELLS)
    given = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    with errors_as_messages():
        try:
            import shtab
        except ImportError:
            raise UserError("completion needs shtab: pip install 'tst-fast[completion]'") from None
        print(shtab.complete(command_line(shtab.FILE), given.shell))


def command_line(file: Any) -> argparse.ArgumentParser:
    """The whole command line, for shtab.

    Args:
        file: what makes shtab complete names of files.
    """
    parser = argparse.ArgumentParser("tst-fast")
    commands = parser.add_subparsers()
    for name, flags in CONFIGURED.items():
        command = commands.add_parser(name, help=name)  # without help, shtab hides it
        command.add_argument("--config", choices=presets())
        for flag in flags:
            setattr(command.add_argument(flag), "complete", file)  # noqa: B010 (shtab's)
        for setting, _, kind in settings_with_kinds(Config()):
            option = command.add_argument(f"--{setting}", choices=_choices(setting, kind))
            if Path in (kind, *typing.get_args(kind)):
                setattr(option, "complete", file)  # noqa: B010
    for name, flags in OTHERS.items():
        command = commands.add_parser(name, help=name)
        for flag in flags:
            setattr(command.add_argument(flag), "complete", file)  # noqa: B010
    return parser


def _choices(setting: str, kind: Any) -> Sequence[str] | None:
    if kind is bool:
        return ("true", "false")
    if typing.get_origin(kind) is Literal:
        return typing.get_args(kind)
    return NAMES.get(setting)
