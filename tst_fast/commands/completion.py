"""`tst-fast completion SHELL`: what makes a shell complete the command's words, to be put where the shell reads it."""

import argparse
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tst_fast.commands.groups import GROUPS
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
NAMES: dict[str, Sequence[str]] = {
    "data.name": DATA_SETS,
    "loss.name": ("kd", "dkd", "dist"),
    "--to": ("torchvision", "dali"),
}
"""Of settings and flags that are text, those with well-known values."""
FOLLOWING: dict[str, Sequence[str] | None] = {
    **{"completion": SHELLS, "doctor": presets(), "table": tuple(GROUPS)},
    **dict.fromkeys(("predict", "replay", "report", "verify-data")),
}
"""What follows a command without a flag; None: files."""


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
    for name, flags in {**CONFIGURED, **OTHERS}.items():
        command = commands.add_parser(name, help=name)  # without help, shtab hides it
        options = [command.add_argument(flag, choices=NAMES.get(flag)) for flag in flags]
        if name in FOLLOWING:
            options.append(command.add_argument("following", nargs="*", choices=FOLLOWING[name]))
        if name in CONFIGURED:
            command.add_argument("--config", choices=presets())
            for setting, _, kind in settings_with_kinds(Config()):
                option = command.add_argument(f"--{setting}", choices=_choices(setting, kind))
                if Path in (kind, *typing.get_args(kind)):
                    options.append(option)
        for option in options:
            if option.choices is None:
                setattr(option, "complete", file)  # noqa: B010 (shtab's)
    return parser


def _choices(setting: str, kind: Any) -> Sequence[str] | None:
    if kind is bool:
        return ("true", "false")
    if typing.get_origin(kind) is Literal:
        return typing.get_args(kind)
    return NAMES.get(setting)
