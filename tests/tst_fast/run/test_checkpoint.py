"""Checkpoints: the newest two, each whole, whatever happens while one is written."""

import io
from pathlib import Path

import pytest
import torch

from tst_fast.errors import UserError


def _fail_in_the_middle(monkeypatch, call):
    """Of the call of `torch.save` with this number only half reaches the disk, as when it is full."""
    left, save = [call], torch.save

    def failing(state, file):
        left[0] -= 1
        if left[0]:
            return save(state, file)
        written = io.BytesIO()
        save(state, written)
        half = written.getvalue()[: written.tell() // 2]
        if hasattr(file, "write"):
            file.write(half)
        else:
            Path(file).write_bytes(half)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", failing)


def test_the_two_newest_are_kept(whole_run):
    newest = sorted(path.name for path in (whole_run.folder / "checkpoints").iterdir())
    assert len(newest) == 2
    assert newest[-1] == f"{sum(each.steps for each in whole_run.run.session.passes):09}.pt"  # the run's last step


def test_a_write_that_fails_harms_no_checkpoint(whole_run, make_run, monkeypatch):
    with monkeypatch.context() as patch:
        _fail_in_the_middle(patch, 4)
        stopped = make_run(whole_run.config)
        with pytest.raises(UserError) as told:
            stopped.run()
        stopped.close()
    complete = sorted((stopped.folder / "checkpoints").glob("*.pt"))
    assert len(complete) == 2
    said, command = str(told.value).splitlines()
    where = f"no space left on device, after step 8 of the run in {stopped.folder}; its checkpoint {complete[-1].name}"
    assert said == f"{where} is whole: make room, and go on with" and command.endswith(f"--resume {stopped.folder}")
    assert all(torch.load(file, weights_only=True) for file in complete)
    resumed = make_run(whole_run.config)
    resumed.resume()
    resumed.run()
    student = (resumed.folder / "student.safetensors").read_bytes()
    assert student == (whole_run.folder / "student.safetensors").read_bytes()
