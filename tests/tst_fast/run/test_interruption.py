"""A signal ends a run with a checkpoint, an exit status and the command that continues it."""

import os
import re
import shlex
import signal
import time
from pathlib import Path

import pytest
from accelerate import Accelerator

from tests.kills import differing
from tests.tst_fast.processes import ROOT, only, output_of_ranks, start
from tests.tst_fast.recording import record_batches
from tst_fast.config.imports import import_flags
from tst_fast.config.schema import Config, replace
from tst_fast.errors import Interrupted, errors_as_messages
from tst_fast.run.interruption import command_to_resume
from tst_fast.run.search import PolicySearch
from tst_fast.run.update import ModelUpdate
from tst_fast.train import main

STATUS = {signal.SIGTERM: 143, signal.SIGUSR1: 138, signal.SIGINT: 130}


def _signalled(monkeypatch, number, update):
    """The update with this number of anything is under way when the signal arrives."""
    count = [0]

    def counted(step):
        def wrapped(self, batch):
            count[0] += 1
            if count[0] == update:
                os.kill(os.getpid(), number)
            return step(self, batch)

        return wrapped

    for kind in (ModelUpdate, PolicySearch):
        monkeypatch.setattr(kind, "step", counted(kind.step))


@pytest.mark.parametrize(("number", "update"), [(signal.SIGTERM, 3), (signal.SIGUSR1, 13), (signal.SIGINT, 20)])
def test_a_signal_is_obeyed_at_the_next_step(whole_run, make_run, monkeypatch, capfd, number, update):
    """Checkpoints are due after two steps and at the end of an epoch, as after update 20, but not after 3 and 13."""
    run = make_run(whole_run.config)
    handlers = [signal.getsignal(one) for one in STATUS]
    with monkeypatch.context() as patch:
        _signalled(patch, number, update)
        with pytest.raises(SystemExit) as stopped, errors_as_messages():
            run.run()
    assert [signal.getsignal(one) for one in STATUS] == handlers
    assert stopped.value.code == STATUS[number]
    said = capfd.readouterr().err
    assert f"{number.name}: stopped after step {update}, with a checkpoint" in said
    assert shlex.split(said)[-2:] == ["--resume", str(run.folder)]
    run.close()
    resumed = make_run(whole_run.config)
    resumed.resume()
    with record_batches() as batches:
        resumed.run()
    assert len(batches) == 28 - update
    assert differing(run.folder, whole_run.folder) == []


def test_a_second_ctrl_c_does_not_wait(whole_run, make_run, monkeypatch):
    run = make_run(whole_run.config)
    with monkeypatch.context() as patch:
        _signalled(patch, signal.SIGINT, 3)
        _signalled(patch, signal.SIGINT, 3)
        with pytest.raises(KeyboardInterrupt):
            run.run()


def test_a_requeued_job_continues_its_run(whole_run, tiny_flags, tmp_path, monkeypatch, capfd):
    """As SLURM does it: a signal before the time is over, then the same command once more."""
    job = [*tiny_flags, f"--output={tmp_path / 'runs'}", "--resume=auto"]
    with monkeypatch.context() as patch:
        _signalled(patch, signal.SIGUSR1, 12)
        with pytest.raises(SystemExit) as stopped:
            main(job)
    assert stopped.value.code == 138
    main(job)
    folder = only(tmp_path / "runs")
    assert (folder / "student.safetensors").read_bytes() == (whole_run.folder / "student.safetensors").read_bytes()
    assert f"output folder: {folder}" in capfd.readouterr().out


def test_two_processes_stop_together(tmp_path, tiny_flags, monkeypatch):
    """One of them hears of it, both write nothing more; what is printed continues the run."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    program = str(ROOT / "tst_fast" / "train.py")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    longer = (
        *("--student_training.epochs=200", "--student_training.optimizer.schedule=multi_step"),
        *("--policy.search=none", "--evaluate_every=100"),
    )
    process = start([*launch, program, *tiny_flags, *longer, f"--output={tmp_path}"], start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*/checkpoints/00000001?.pt")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    holder = (only(tmp_path) / "lock").read_text()
    os.kill(int(re.match(r"process (\d+) on", holder)[1]), signal.SIGUSR1)
    said, _ = process.communicate(timeout=60)
    step = int(re.search(r"SIGUSR1: stopped after step (\d+), with a checkpoint", said)[1])
    assert f"torchrun --nproc_per_node 2 {program} --resume {only(tmp_path)}" in said
    newest = max(only(tmp_path).glob("checkpoints/*.pt"))
    assert int(newest.stem) == step and "exitcode  : 138" in said
    output_of_ranks([program, "--resume", str(only(tmp_path)), "--override", "student_training.epochs=12"])


@pytest.mark.parametrize(
    ("program", "begin"),
    [("/bin/tst-fast", "tst-fast train"), ("/code/tst_fast/__main__.py", "python -m tst_fast train")],
)
def test_the_command_that_goes_on_begins_as_the_run_did_and_says_own_code_again(program, begin, monkeypatch):
    monkeypatch.setattr("sys.argv", [program, "train"])
    config = replace(Config(), student__name="mine:net", teacher__name="mine:net", loss__name="mine.losses:own")
    command = command_to_resume(Path("runs/one"), Accelerator(cpu=True), import_flags(config))
    assert command == f"{begin} --resume runs/one --import mine:net --import mine.losses:own"


def test_what_is_interrupted_says_so_once():
    with pytest.raises(SystemExit) as stopped, errors_as_messages():
        raise Interrupted(signal.SIGTERM, "")
    assert stopped.value.code == 143
