"""What every command begins with: processes that know of each other, and errors as one message."""

import shutil
import tempfile
from types import SimpleNamespace

import pytest

from tst_fast import errors
from tst_fast.errors import UserError, errors_as_messages, keep_tracebacks_in
from tst_fast.run.folder import require_room
from tst_fast.run.start import start_accelerator
from tst_fast.train import main
from tst_pipelines import DataError


def test_processes_that_do_not_know_of_each_other_are_refused(monkeypatch):
    """As `torchrun` starts them where there is no GPU; the first alone says so."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match=r"2 processes were started, but .*: set ACCELERATE_USE_CPU=true"):
        start_accelerator()
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as stopped:
        start_accelerator()
    assert stopped.value.code == 1
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert start_accelerator().num_processes == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("--a is b"), "error: --a is b"),
        (DataError("c is not an image"), "error: c is not an image"),
        (DataError("c is not there", "download"), "error: c is not there (--data.download true)"),
    ],
)
def test_what_the_user_can_put_right_is_a_message(error, message):
    with pytest.raises(SystemExit) as stopped, errors_as_messages():
        raise error
    assert stopped.value.code == message


def test_ctrl_c_is_a_message_too(capsys):
    with pytest.raises(SystemExit) as stopped, errors_as_messages("stopped, and it continues"):
        raise KeyboardInterrupt
    assert (stopped.value.code, capsys.readouterr().err) == (130, "stopped, and it continues\n")


ODD = {
    "a fault of the program": (TypeError("a bug"), "error: TypeError: a bug"),
    "a full disk": (OSError(28, "No space left on device", "/x/y"), "error: /x/y: no space left on device"),
    "recursion": (RecursionError("too deep"), "error: RecursionError: too deep"),
    "a forged line": (OSError(2, "Missing", "a\nerror: well\x1b[2J"), r"error: a\nerror: well\x1b[2J: missing"),
    "markup": (ValueError("[/red] [bold"), "error: ValueError: [/red] [bold"),
    "no UTF-8": (ValueError("\udcff"), r"error: ValueError: \udcff"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_nobody_foresaw_is_one_line_and_a_traceback_in_a_file(kind, tmp_path, monkeypatch):
    error, message = ODD[kind]
    monkeypatch.setattr(errors, "_PLACE", errors._Place())
    keep_tracebacks_in(tmp_path)
    with pytest.raises(SystemExit) as stopped, errors_as_messages():
        raise error
    (file,) = tmp_path.iterdir()
    assert stopped.value.code == f"{message}; the traceback is in {file}"
    assert "test_start.py" in file.read_text()


@pytest.mark.parametrize("kind", [PermissionError(13, "Permission denied", "/x"), OSError(40, "Too many links", "/x")])
def test_a_path_that_cannot_be_used_is_told_without_a_traceback(kind, tmp_path, monkeypatch):
    """Such as a folder `val` that may not be read; the suite may run as root, who may."""
    monkeypatch.setattr(errors, "_PLACE", errors._Place(tmp_path))
    with pytest.raises(SystemExit, match=r"^error: /x: (permission denied|too many links)$"), errors_as_messages():
        raise kind
    assert not list(tmp_path.iterdir())


def test_a_traceback_without_a_place_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(errors, "_PLACE", errors._Place(tmp_path / "vanished"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "vanished too"))
    with pytest.raises(SystemExit, match="error: TypeError: a bug; \nTraceback"), errors_as_messages():
        raise TypeError("a bug")


def test_no_line_of_a_message_can_be_forged():
    with pytest.raises(SystemExit, match=r"^error: a file\n  \\x1b\[2Jb$"), errors_as_messages():
        raise DataError("a file\n  \x1b[2Jb")


def test_room_for_the_output_is_looked_for_first(tmp_path, monkeypatch):
    require_room(tmp_path / "runs" / "deeper")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**20))
    with pytest.raises(UserError, match=r"--output .* has 1 MiB left"):
        require_room(tmp_path)
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--output .*file/runs cannot be written to: not a directory"):
        require_room(tmp_path / "file" / "runs")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(UserError, match=r"--output .*circle cannot be written to: too many levels of symbolic links"):
        require_room(tmp_path / "circle")


@pytest.mark.parametrize("flags", [[], ["--dry_run"]], ids=["a run", "a dry run"])
def test_an_output_that_cannot_be_written_is_refused_at_once(tiny_flags, tmp_path, flags):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"error: --output .* cannot be written to: "):
        main([*tiny_flags, f"--output={tmp_path / 'file'}", *flags])
