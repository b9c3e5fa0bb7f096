"""What every command begins with: processes that know of each other, and errors as one message."""

import pytest

from tst_fast.errors import UserError, errors_as_messages
from tst_fast.run.start import start_accelerator
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


def test_other_errors_keep_their_traceback():
    with pytest.raises(ValueError, match="a bug"), errors_as_messages():
        raise ValueError("a bug")
