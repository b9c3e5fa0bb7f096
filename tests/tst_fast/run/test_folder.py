"""A run's folder is its own: made for it alone, inside --output, and used by one process at a time."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time

import pytest

from tests.tst_fast.processes import PACKAGES
from tst_fast.config import reading
from tst_fast.errors import UserError
from tst_fast.run.folder import hold, make_folder, newest_run
from tst_fast.train import main, parse


def test_runs_of_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda form: "20260101-120000")
    made = []
    threads = [threading.Thread(target=lambda: made.append(make_folder(tmp_path / "runs", "a"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 20 and all(folder.is_dir() and folder.parent == tmp_path / "runs" for folder in made)
    assert {"a-20260101-120000", "a-20260101-120000-2", "a-20260101-120000-20"} <= {folder.name for folder in made}


@pytest.mark.parametrize("name", ["../x", "a/b", "/tmp/x", "..", ".", "", "a\nb", "a\x1b[2J", " a", "x" * 101])
def test_a_name_cannot_leave_the_output(name):
    with pytest.raises(UserError, match=r"--name is .*it becomes the name of a folder"):
        reading.from_flags(["--config=digits", f"--name={name}"])


def test_a_second_process_is_refused_by_name(whole_run, make_run, stop_run):
    folder = stop_run(whole_run.config, 3)
    running = make_run(whole_run.config)
    with pytest.raises(SystemExit) as refused:
        main(["--resume", str(folder)])
    assert re.fullmatch(rf"error: .* is in use by process {os.getpid()} on \S+: wait for its end.*", refused.value.code)
    running.close()
    hold(folder).close()


def test_a_killed_process_holds_nothing(tmp_path):
    program = f"from tst_fast.run.folder import hold; from pathlib import Path; held = hold(Path({str(tmp_path)!r}))"
    wait = f"{program}; print('held', flush=True); import time; time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": PACKAGES}
    with subprocess.Popen([sys.executable, "-c", wait], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"in use by process {process.pid} on"):
            hold(tmp_path)
        process.kill()
        process.wait()
        hold(tmp_path).close()


def test_latest_and_auto_find_their_run(tiny_config, tiny_flags, stop_run, tmp_path):
    flags = [*tiny_flags, f"--output={tmp_path}"]
    assert parse([*flags, "--resume=auto"])[1].resume is None
    with pytest.raises(UserError, match=r"--resume latest: .* holds no run"):
        parse(["--resume", "latest", f"--output={tmp_path}"])
    older = stop_run(tiny_config(f"--output={tmp_path}"), 3, "digits-20260101-120000")
    newer = stop_run(tiny_config(f"--output={tmp_path}"), 3, "digits-20260101-120000-2")
    stop_run(tiny_config(f"--output={tmp_path}", "--name=digits-large"), 3, "digits-large-20260101-120001")
    assert newest_run(tmp_path, "digits") == newer
    assert parse(["--resume=latest", f"--output={tmp_path}"])[1].resume.name == "digits-large-20260101-120001"
    assert parse([*flags, "--resume=auto"])[1].resume == newer
    with pytest.raises(UserError, match=r"seed was 0, now 1\n"):
        parse([*flags, "--seed=1", "--resume=auto"])
    (newer / "result.json").write_text("{}")  # it has ended: the next job is a new run
    assert parse([*flags, "--resume=auto"])[1].resume is None
    shutil.rmtree(newer)
    shutil.rmtree(older / "checkpoints")  # nothing to continue
    assert parse([*flags, "--resume=auto"])[1].resume is None
