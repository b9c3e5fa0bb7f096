"""Errors that the user can fix, shown as one message without a traceback; and the findings of checks."""

import difflib
import errno
import io
import os
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Literal, NoReturn

from tst_fast.signals import handled_by

FLAGS = {
    "crop": "--data.crop pad",
    "download": "--data.download true",
    "elastic": "--elastic",
    "exclude": "--data.exclude FILE, as `tst-fast verify-data FOLDER --write-exclude FILE` writes it",
    "ids": "--data.ids",
    "ignored": "--data.ignored",
    "loader": "--data.loader dali",
    "outside": "--data.outside_root true",
}
"""What to say where `tst_pipelines` names an option."""

STDOUT = 1
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.EEXIST, errno.ENOTDIR}
"""Of a path that permissions, links or what is there do not let the program use."""


class UserError(Exception):
    """Something outside the program is wrong: the message names it and the remedy."""


class ToldByAnother(UserError):
    """An error that another process can explain better: this one reports it only if that one does not."""


class Interrupted(Exception):
    """A signal asked the program to stop, and everything has been saved.

    Attributes:
        signal: its number; the exit status is 128 more, as a shell has it.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.signal = int(number)


def nearest(name: str, known: Sequence[str]) -> str:
    """`; did you mean ...?` with the nearest known name, or a full stop where none is near."""
    found = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {found[0]!r}?" if found else "."


@dataclass
class _Place:
    folder: Path | None = None


_PLACE = _Place()


def keep_tracebacks_in(folder: Path) -> None:
    """From now on, tracebacks of unexpected errors are written to this folder, a run's."""
    _PLACE.folder = folder


def printable(text: str) -> str:
    """Text from anywhere, such as the name of a file, that stays on its line: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


@contextmanager
def errors_as_messages(stopped: str = "stopped") -> Iterator[None]:
    """Whatever goes wrong ends the program with a message alone, with status 1; and Ctrl-C with status 130.

    The traceback of an unexpected error is written to a file that the message names. Of several processes, only the
    first that failed says why.

    Args:
        stopped: the message of Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # else the arrow of a table ends a run in a locale without one
    try:
        with _leaving_amid_an_import(stopped):
            yield
    except UserError as error:
        _end(_on_lines(error), alike=True, knows_less=isinstance(error, ToldByAnother))
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        sys.exit(128 + interrupted.signal)
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _is_unread(STDOUT):  # `head`, for one, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)  # for what Python flushes at its end
            sys.exit(1)  # as rich does
        if not hasattr(error, "options"):  # of a DataError, whose module imports torch
            if lost := _lost_contact(error):
                _end(lost, knows_less=True)
            if isinstance(error, OSError) and error.filename and error.errno in _FORBIDDEN:
                _end(_unforeseen(error))
            _end(f"{_unforeseen(error)}; {_keep_traceback()}")
        flags = flags_of(error)
        _end(f"{_on_lines(error)} ({flags})" if flags else _on_lines(error))


@contextmanager
def writing(file: Path, flag: str) -> Iterator[None]:
    """Within, what the system refuses is told of the file or folder to write, and of the flag that gave it.

    Raises:
        UserError: in place of an error of the system.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{flag} {file} cannot be written: {reason(error)}") from None


def _is_unread(pipe: int) -> bool:
    """Whether nobody is left who reads it."""
    poll = select.poll()
    poll.register(pipe, 0)  # errors are reported without being asked for
    return bool(poll.poll(0))


def flags_of(error: Exception) -> str:
    """The flags that would put a DataError right, if it names options; else nothing."""
    return " or ".join(FLAGS[option] for option in getattr(error, "options", ()) if option in FLAGS)


def _leaving_amid_an_import(stopped: str) -> AbstractContextManager[None]:
    """Within, Ctrl-C amid an import ends the program there and then: in torch's, an exception is lost, or aborts it."""

    def handle(_: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
                os.write(2, f"{stopped}\n".encode())
                os._exit(130)
            frame = frame.f_back
        raise KeyboardInterrupt

    return handled_by(handle, [signal.SIGINT])


def _end(message: str, alike: bool = False, knows_less: bool = False) -> NoReturn:
    """End this process with status 1, and with its message, unless another has given one.

    Args:
        message: what went wrong.
        alike: whether it goes wrong in every process of a machine, if it does before they know of each other.
        knows_less: whether another process may know better.
    """
    shown: str | None = message
    if several := _several_processes():
        shown = several.message_to_show(message, knows_less)
    elif alike and os.environ.get("LOCAL_RANK", "0") != "0":
        shown = None
    sys.exit(1 if shown is None else f"error: {shown}")


def _several_processes() -> ModuleType | None:
    """`rank_errors`, where there are several processes that know of each other."""
    if "torch.distributed" not in sys.modules:
        return None
    from tst_fast import rank_errors

    return rank_errors if rank_errors.is_met() else None


def _lost_contact(error: Exception) -> str | None:
    several = _several_processes()
    return several and several.lost_contact(error)


def _on_lines(error: Exception) -> str:
    return "\n".join(map(printable, str(error).split("\n")))


def _unforeseen(error: Exception) -> str:
    """An error of the system, or a fault of the program, on one line."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return printable(f"{where}{reason(error)}")
    return printable(in_short(error))


def in_short(error: Exception) -> str:
    """An unexpected error, for a message."""
    return f"{type(error).__name__}: {str(error).strip()[:300]}"


def reason(error: OSError) -> str:
    """What the system says of an error of its own, for a message."""
    return (error.strerror or str(error)).lower()


def _keep_traceback() -> str:
    """Write the traceback of the current error to a file; says where, or is the traceback if no file can be written."""
    text = traceback.format_exc()
    for folder in filter(None, (_PLACE.folder, Path(tempfile.gettempdir()))):
        file = folder / f"traceback-{os.getpid()}.txt"
        try:
            file.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError:
            with suppress(OSError):
                file.unlink()  # half of it, on a full disk
            continue
        return f"the traceback is in {file}"
    return f"\n{text}"


State = Literal["good", "doubtful", "wrong"]


@dataclass(frozen=True)
class Finding:
    """What one check of the doctor found.

    Attributes:
        check: what was looked at.
        state: good, doubtful (perhaps meant) or wrong.
        found: what there is.
        remedy: what to do about it; empty if it is good.
    """

    check: str
    state: State
    found: str
    remedy: str = ""
