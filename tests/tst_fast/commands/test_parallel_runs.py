"""Runs in processes of their own: the same bytes as one after the other, stopped and failing without loss."""

import json
import os
import signal
import time

import psutil
import pytest
import torch
from accelerate import Accelerator

from tests.tst_fast.processes import start
from tst_fast.commands import parallel_runs
from tst_fast.commands.arms import ARMS
from tst_fast.commands.compare import main
from tst_fast.commands.comparison import Comparison, going_on_by
from tst_fast.errors import Interrupted, UserError


def compared(config, folder, jobs):
    """What compare.json holds in the end, without times."""
    arms = {name: ARMS[name] for name in ("KD", "TST")}
    content = Comparison(config, arms, 1, 1, folder, Accelerator(cpu=True), jobs).run()
    assert content == json.loads((folder / "compare.json").read_text(), object_hook=_with_numbers)
    for runs in content["runs"].values():
        for run in runs:
            del run["wall_seconds"]
    return content


def _with_numbers(values):
    return {int(key) if key.isdecimal() else key: value for key, value in values.items()}


def students(folder):
    return {file.parent.name: file.read_bytes() for file in folder.glob("*/student.safetensors")}


def test_parallel_runs_give_the_same_bytes_and_a_failure_leaves_the_others(tiny_config, tmp_path, capfd):
    one = compared(tiny_config("--student_training.epochs=2"), tmp_path / "one", jobs=1)
    teacher = tmp_path / "one" / "teacher" / "teacher.safetensors"
    config = tiny_config("--student_training.epochs=2", f"--teacher.checkpoint={teacher}")
    in_the_way = tmp_path / "two" / "tst-seed0" / "checkpoints" / "000000001.pt"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("no checkpoint")
    with pytest.raises(UserError, match=r"tst-seed0: .*000000001\.pt.*tst-seed0\.log"):
        compared(config, tmp_path / "two", jobs=2)
    in_the_way.unlink()
    two = compared(config, tmp_path / "two", jobs=2)
    assert students(tmp_path / "two").items() <= students(tmp_path / "one").items() and len(two["runs"]) == 2
    assert {**two, "teachers": one["teachers"]} == one
    assert "run 2 of 2: TST, seed 0" in capfd.readouterr().out
    assert "student epoch" in (tmp_path / "two" / "kd-seed0.log").read_text()


def test_a_signal_stops_all_of_them_with_checkpoints(tiny_flags, tmp_path):
    flags = [*tiny_flags, "--student_training.epochs=4000", "--teacher_training.epochs=1", "--arms", "KD", "TST"]
    command = ["-m", "tst_fast", "compare", *flags, "--folder", str(tmp_path), "--seeds=1", "--jobs=2"]
    process = start(command, start_new_session=True)
    logs = [tmp_path / "kd-seed0.log", tmp_path / "tst-seed0.log"]
    deadline = time.monotonic() + 300
    while not all(log.exists() and "student epoch" in log.read_text() for log in logs):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()  # which its runs notice
            pytest.fail(process.communicate()[0])
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"SIGINT: stopped; the same command with --folder {tmp_path} goes on" in output
    for log in logs:
        assert "with a checkpoint" in log.read_text()
        assert list(log.with_suffix("").glob("checkpoints/*.pt"))


def test_ctrl_c_at_a_terminal_reaches_processes_that_begin_through_the_first_alone(tiny_flags, tmp_path):
    flags = [*tiny_flags, "--teacher_training.epochs=1", "--arms", "KD", "TST", "--seeds=1", "--jobs=2"]
    process = start(["-m", "tst_fast", "compare", *flags, "--folder", str(tmp_path)], start_new_session=True)
    while not (tmp_path / "teacher" / "result.json").exists():
        assert process.poll() is None, process.communicate()[0]
    while sum(one.status() != psutil.STATUS_ZOMBIE for one in psutil.Process(process.pid).children()) < 3:
        time.sleep(0.01)  # two, and multiprocessing's resource tracker
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in output
    assert output.endswith(f"SIGINT: stopped; the same command with --folder {tmp_path} goes on\n")


def test_a_run_that_is_stopped_by_itself_says_what_goes_on_with_all_of_them():
    with pytest.raises(Interrupted) as stopped, going_on_by("tst-fast table ablations", Accelerator(cpu=True)):
        raise Interrupted(signal.SIGTERM, "to go on: tst-fast train --resume tables/ablations/one")
    assert str(stopped.value) == "SIGTERM: stopped; tst-fast table ablations goes on"
    assert stopped.value.signal == signal.SIGTERM


@pytest.mark.parametrize(
    ("given", "count", "seen"),
    [(None, 0, [None, None, None]), (None, 2, ["0", "1", "0"]), ("5,7", 2, ["5", "7", "5"])],
)
def test_gpus_are_taken_in_turns(given, count, seen, monkeypatch):
    name = "CUDA_VISIBLE_DEVICES"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv(name, raising=False) if given is None else monkeypatch.setenv(name, given)
    found = []
    for place in range(3):
        with parallel_runs._seeing_one_gpu(place):
            found.append(os.environ.get(name))
    assert found == seen and os.environ.get(name) == given


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        (["--jobs=two"], {}, "error: --jobs is 'two': it must be a whole number$"),
        (["--jobs=0"], {}, "--jobs is 0: it must be 1 or more"),
        (["--jobs=2"], {"WORLD_SIZE": "2"}, "--jobs 2 starts processes itself: start it as `tst-fast`"),
    ],
)
def test_mistakes(flags, environment, message, tiny_flags, tmp_path, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=message):
        main([*tiny_flags, "--folder", str(tmp_path / "none"), *flags])
    assert not (tmp_path / "none").exists()
