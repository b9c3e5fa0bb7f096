"""Code of the user's own, by import path: `my.module:name`."""

import importlib
import operator
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tst_fast.errors import UserError, in_short, nearest

SETTINGS = ("data.name", "teacher.name", "student.name", "loss.name")
"""Those that may be an import path."""
IMPORT: dict[str, Any] = {
    "dest": "said",
    "action": "append",
    "default": [],
    "metavar": "MODULE:NAME",
    "help": "allow your own code that a run's configuration names, such as my.module:Net; may be repeated",
}
"""Of the option `--import`, wherever a configuration is read that may be anyone's."""
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_import_path(name: str) -> bool:
    """Whether a name means code of the user's own, and nothing that this program knows."""
    return _PATH.fullmatch(name) is not None


def load_object(path: str, flag: str) -> Any:
    """Import a module, which may lie in the current folder, and take what it has under a name.

    Args:
        path: `my.module:name`.
        flag: that it was given for, such as "student.name", for messages.

    Raises:
        UserError: there is no such module, or it cannot be imported, or it has nothing of that name.
    """
    module, _, name = path.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module)
    except Exception as error:  # whatever the user's code raises
        raise UserError(
            f"--{flag} {path}: {module} cannot be imported ({in_short(error)}); it must be installed, in PYTHONPATH, "
            "or in the folder that the command is run in"
        ) from error
    finally:
        sys.path.remove(os.getcwd())
    if not callable(getattr(found, name, None)):
        raise UserError(f"--{flag} {path}: {module} has no function or class {name!r}{nearest(name, dir(found))}")
    return getattr(found, name)


def import_flags(config: object) -> list[str]:
    """What a command on a run with this configuration must repeat: `--import` for each import path in it, once."""
    values = [operator.attrgetter(name)(config) for name in SETTINGS]
    return saying(list(dict.fromkeys(value for value in values if is_import_path(str(value)))))


def saying(paths: Sequence[str]) -> list[str]:
    """The words of a command that say import paths again."""
    return [word for path in paths for word in ("--import", path)]


def require_said(settings: Mapping[str, Any], said: Sequence[str], where: str) -> None:
    """Refuse import paths from a file that may be anyone's: code is only run if the user names it.

    Args:
        settings: by their dotted names.
        said: words of the user's.
        where: the file.

    Raises:
        UserError: with the words to say.
    """
    unsaid = {
        str(settings[name]): name
        for name in SETTINGS
        if is_import_path(str(settings.get(name, ""))) and settings[name] not in said
    }
    if unsaid:
        named = ", ".join(f"{name} {path}" for path, name in unsaid.items())
        words = " ".join(saying(list(unsaid)))
        raise UserError(f"{where} names code to run ({named}): if you trust it, say so again: {words}")
