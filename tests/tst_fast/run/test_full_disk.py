"""A disk that is full: said in one message, and nothing that the run has is lost."""

import errno
import io
import os
from contextlib import closing
from pathlib import Path

import pytest
import torch

from tst_fast import errors
from tst_fast.errors import UserError, errors_as_messages
from tst_fast.report.metrics import MetricsLog, PassEnded
from tst_fast.run import checkpoint

ROOM = 4096


class _Small(io.FileIO):
    """A file on a disk that has `ROOM` bytes left."""

    def write(self, data):
        if self.tell() + len(data) > ROOM:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def _fill(monkeypatch):
    """From now on, what is written aside, to be renamed, has no more room than that."""
    monkeypatch.setattr(os, "fdopen", _Small)


def test_a_run_without_a_checkpoint_is_to_be_started_anew(whole_run, make_run, monkeypatch):
    run = make_run(whole_run.config)
    _fill(monkeypatch)
    with pytest.raises(UserError, match=r"after step 2 of the run in .*: make room, and start it anew"):
        run.run()


def test_an_error_amid_a_large_tensor_is_that_of_the_disk(tmp_path, monkeypatch):
    """torch ends its archive after the error, which fails in its own way and would be told instead."""
    _fill(monkeypatch)
    with pytest.raises(OSError, match="No space left on device"):
        checkpoint.save(tmp_path, 1, {"weights": torch.zeros(100_000)})
    assert list(tmp_path.iterdir()) == []


def test_the_log_is_closed_without_what_has_no_room():
    where = {"stage": "student", "epoch": 0, "pass_index": 0, "global_step": 4}
    with closing(MetricsLog(Path("/dev/full"))) as log, pytest.raises(OSError, match="No space left"):
        log.event(PassEnded(**where, mean_loss=1.0, images_per_second=1.0, seconds={}))


def test_no_half_traceback_is_left(tmp_path, monkeypatch):
    write = Path.write_text

    def half(self, text, **how):
        write(self, text[: 10 if self.parent == tmp_path else None], **how)
        if self.parent == tmp_path:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    monkeypatch.setattr(errors, "_PLACE", errors._Place(tmp_path))
    with pytest.raises(SystemExit, match=r"TypeError: a bug; the traceback is in") as stopped, errors_as_messages():
        raise TypeError("a bug")
    assert list(tmp_path.iterdir()) == []
    Path(stopped.value.code.rpartition(" ")[2]).unlink()
