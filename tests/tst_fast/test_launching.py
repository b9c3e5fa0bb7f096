"""The launch lines of docs/launching.md: two machines, and a job of SLURM that is requeued, by stand-ins."""

import os
import re
import socket
import subprocess
import sys

import pytest

from tests.kills import differing
from tests.tst_fast.processes import PACKAGES, ROOT, only, output_of, start

TRAIN = str(ROOT / "tst_fast" / "train.py")
ACCELERATE = ["-m", "accelerate.commands.launch", "--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no"]

SRUN = r"""#!/bin/bash
# Two tasks on this machine. The first time, both get SIGUSR1 once there is a checkpoint.
export SLURM_NTASKS=2
for task in 0 1; do SLURM_PROCID=$task SLURM_LOCALID=$task "$@" & tasks[task]=$!; done
if [ ! -e "$STAND_IN/requeued" ]; then
    until ls "$STAND_IN"/runs/*/checkpoints/*.pt >/dev/null 2>&1; do sleep 0.05; done
    kill -USR1 "${tasks[@]}"
fi
highest=0
for task in "${tasks[@]}"; do wait "$task"; status=$?; (( status > highest )) && highest=$status; done
exit $highest
"""
SCONTROL = """#!/bin/bash
if [ "$1" = requeue ]; then echo "$2" >> "$STAND_IN/requeued"; else echo 127.0.0.1; fi
"""


@pytest.fixture
def whole(tmp_path, tiny_flags, monkeypatch):
    """The folder of a run of two processes that nothing stops."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    output_of([*several, TRAIN, *tiny_flags, f"--output={tmp_path / 'whole'}"])
    return only(tmp_path / "whole")


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.long
def test_two_machines_are_as_two_processes_of_one(whole, tiny_flags, tmp_path):
    where = [
        "--num_machines=2",
        "--num_processes=2",
        "--main_process_ip=127.0.0.1",
        f"--main_process_port={_free_port()}",
    ]
    runs = [
        start([*ACCELERATE, *where, f"--machine_rank={rank}", TRAIN, *tiny_flags, f"--output={tmp_path / 'runs'}"])
        for rank in range(2)
    ]
    said = [run.communicate(timeout=240)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert differing(whole, only(tmp_path / "runs")) == []


@pytest.mark.long
def test_a_job_of_slurm_is_requeued_and_continues(whole, tiny_flags, tmp_path):
    """The script of the documentation, with the settings of the tests in place of those of the paper."""
    text = (ROOT / "docs" / "launching.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```\n(#!/bin/bash.*?)```", text, re.DOTALL)
    flags = " ".join(f'"{flag}"' for flag in (*tiny_flags, f"--output={tmp_path / 'runs'}"))
    script = script.replace("--config resnet34-resnet18 --data.root IMAGENET", flags).replace("bf16", "no")
    script = script.replace("29500", str(_free_port()))
    for name, content in {
        "srun": SRUN,
        "scontrol": SCONTROL,
        "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
    }.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": PACKAGES,
        "OMP_NUM_THREADS": "1",  # as of the whole run: sums depend on it
        "STAND_IN": str(tmp_path),
        "SLURM_JOB_ID": "17",
    }
    for _ in range(2):
        job = subprocess.run(
            ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
        )
    assert (tmp_path / "requeued").read_text() == "17\n", job.stdout + job.stderr
    assert differing(whole, only(tmp_path / "runs")) == [], job.stdout + job.stderr
