"""What the command for a GPU does where things go wrong, and what its parts read and change."""

import itertools
import json
import os
import subprocess
import sys
import time

import pytest
import torch

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import cases, counters, goals
from benchmarks.gpu.cases import NOT_REACHED, Case
from benchmarks.peers import Unavailable
from benchmarks.results import Results


def raising(error):
    def measure():
        raise error

    return measure


def test_whatever_becomes_of_a_case_it_is_a_row(tmp_path, capsys):
    results = Results({}, tmp_path / "rows.json")
    order = [
        Case({"name": "too large"}, raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 TiB"))),
        Case({"name": "missing"}, raising(Unavailable("kornia is not installed"))),
        Case({"name": "good"}, lambda: {"microseconds": 1.5}),
    ]
    assert cases.run("part", order, results)
    assert not cases.run("part", [Case({"name": "broken"}, raising(KeyError("oops")))], results)
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row.get("note", row.get("microseconds")) for row in rows] == [
        "out of memory",
        "kornia is not installed",
        1.5,
        "failed: KeyError: 'oops'",
    ]


def test_rows_are_in_the_file_before_the_next_is_measured(tmp_path):
    file, seen = tmp_path / "rows.json", []

    def look():
        seen.append([row.get("note", row.get("value")) for row in json.loads(file.read_text())["rows"]])
        return {"value": len(seen)}

    cases.run("part", [Case({}, look)] * 3, Results({}, file))
    assert seen == [[NOT_REACHED] * 3, [1, NOT_REACHED, NOT_REACHED], [1, 2, NOT_REACHED]]
    assert [child.name for child in tmp_path.iterdir()] == ["rows.json"]


def test_a_part_that_hangs_is_stopped_with_all_it_started(tmp_path, monkeypatch):
    program = tmp_path / "hang.py"
    program.write_text(
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    launched = subprocess.Popen
    monkeypatch.setattr(
        command.subprocess, "Popen", lambda _, **options: launched([sys.executable, str(program)], **options)
    )
    start = time.monotonic()
    assert command.run_isolated("kernels", 5, [], os.environ) == "stopped after its 5 s"
    assert time.monotonic() - start < 30
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and is_running(pid):
        time.sleep(0.05)
    assert not is_running(pid)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


NCU = """==PROF== Connected to process 4242 (/usr/bin/python3)
==PROF== Profiling "mix": 0%....100% - 3 passes
"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size","Grid Size","Device","CC",\
"Section Name","Metric Name","Metric Unit","Metric Value"
"0","4242","python3","host","mix","1","7","(128, 1, 1)","(50176, 1, 1)","0","9.0",\
"Command line profiler metrics","gpu__time_duration.sum","ns","123,456"
"0","4242","python3","host","mix","1","7","(128, 1, 1)","(50176, 1, 1)","0","9.0",\
"Command line profiler metrics","smsp__issue_active.avg.pct_of_peak_sustained_active","%","61.25"
"1","4242","python3","host","sum_gradients","1","7","(128, 1, 1)","(4096, 1, 1)","0","9.0",\
"Command line profiler metrics","launch__registers_per_thread","register/thread","80"
"1","4242","python3","host","sum_gradients","1","7","(128, 1, 1)","(4096, 1, 1)","0","9.0",\
"Command line profiler metrics","sm__warps_active.avg.pct_of_peak_sustained_active","%","n/a"
"""


def test_counters_are_read_from_the_profilers_table():
    assert counters.parse(NCU) == {
        "mix": {"nanoseconds": 123456.0, "issue_active_percent": 61.25},
        "sum_gradients": {"registers": 80.0, "occupancy_percent": "n/a"},
    }
    assert counters.parse("==ERROR== The user does not have permission\n") == {}


def test_goals_are_read_from_the_rows_of_the_main_configuration():
    forward = {"part": "kernels", "name": "mix", "pass": "forward", "result": "bfloat16"}
    student = {"part": "training", "pair": "main", "step": "TST, student"}
    measured = [
        {"part": "parity", "is_right": True},
        {"part": "parity", "note": "out of memory"},
        forward | {"images": "nhwc", "microseconds": 99.0},
        forward | {"images": "packed", "microseconds": 100.0, "share_of_issue_bound": 0.6},
        forward | {"images": "packed", "microseconds": 170.0, "pass": "backward"},
        {"part": "peers", "name": "kornia", "pass": "backward", "ours_times_as_fast": 99.0},
        {"part": "peers", "name": "kornia", "pass": "forward", "ours_times_as_fast": 20.0},
        student | {"data": "one batch", "augmentation_ms": 1.0, "milliseconds": 50.0, "images_per_second": 900.0},
        student | {"data": "loader", "images_per_second": 810.0},
        student | {"pair": "another", "data": "one batch", "images_per_second": 9.0},
        student | {"step": "KD", "data": "one batch", "images_per_second": 1000.0},
    ]
    found = {row["name"]: (row["measured"], row["is_reached"]) for row in goals.rows(measured)}
    assert found["share of the parity rows that are right"] == (0.5, False)
    assert found["forward, share of the issue bound"] == (0.6, True)
    assert found["backward, in times of the forward pass"] == (1.7, False)
    assert found["forward, times eager kornia"] == (20.0, True)
    assert found["forward, times torchvision v2"] == (None, False)
    assert found["augmentation, share of a student's step"] == (0.02, True)
    assert found["student's step, share of KD's images/s"] == (0.9, False)
    assert found["with the loader, share of images/s without"] == (0.9, False)
    assert found["student's step, times kornia in the loop"] == (None, False)


@pytest.mark.parametrize("missing", [[], [{"note": "DALI is not installed"}]])
def test_a_goal_is_not_reached_by_the_figures_of_two_pairs(missing):
    student = {"part": "training", "step": "TST, student", "data": "loader"}
    kept = student | {"pair": "main", "data": "one batch", "images_per_second": 900.0}
    other = student | {"pair": "another", "images_per_second": 9000.0}
    measured = [kept, *(student | {"pair": "main"} | row for row in missing), other]
    found = {row["name"]: row["measured"] for row in goals.rows(measured)}
    assert found["with the loader, share of images/s without"] is None


def test_a_part_may_use_what_those_before_it_left(tmp_path, monkeypatch, capsys):
    boxes = {}
    monkeypatch.setattr(command, "run_isolated", lambda part, seconds, *_: boxes.update({part: seconds}) or "")
    command.run_all(command.read(["--json", str(tmp_path / "gpu.json"), "--device", "cpu"]), [])
    shared_out = list(itertools.accumulate(command.PARTS.values()))
    assert list(boxes.values()) == pytest.approx(shared_out, abs=5)  # nothing was used
    assert shared_out[-1] == command.LIMIT <= 480


VARIANTS = """
import json
from benchmarks.ahead_of_time import Configuration, TARGETS, compile_only, inspect
from benchmarks.gpu.variants import launched

found = {}
for name, variant in {"none": {}, "limited": {"maxnreg": 48}, "wide": {"pixels": 4, "threads": 256}}.items():
    with compile_only(TARGETS["sm_90"]), launched(variant) as compiled:
        Configuration("packed").launch()
    for kernel in ("mix", "sum_gradients", "count"):
        one = inspect(compiled[kernel])
        found[f"{name} {kernel}"] = [one.registers, one.pixels, compiled[kernel].metadata.num_warps]
print(json.dumps(found))
"""


def test_variants_change_the_launch_of_the_two_large_kernels_alone():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    answer = subprocess.run([sys.executable, "-c", VARIANTS], env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout.splitlines()[-1])
    for kernel in ("mix", "sum_gradients"):
        assert found[f"none {kernel}"][0] > 48 >= found[f"limited {kernel}"][0]
        assert found[f"none {kernel}"][1:] == [2, 4]
        assert found[f"wide {kernel}"][1:] == [4, 8]
    assert len({tuple(found[f"{name} count"]) for name in ("none", "limited")}) == 1


def test_without_a_gpu_the_command_says_what_to_do(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(SystemExit, match="--device cpu"):
        command.main(["--json", str(tmp_path / "gpu.json")])
