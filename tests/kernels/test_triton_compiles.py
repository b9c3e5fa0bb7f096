"""Every kernel compiles without spills for GPUs that are not here, in processes that have no interpreter set."""

import json
import os
import subprocess
import sys

import pytest

TARGETS = ("sm_90",)
OTHERS = ("sm_80", "sm_100", "gfx942")
"""Compiled by the long test alone: each target takes a minute of a core."""
MOST_REGISTERS = {"mix": 80, "sum_gradients": 96}
"""On sm_90: six and five programs of 128 threads a multiprocessor. Others may have 128, which is four programs."""


def _compile(path, *arguments):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "benchmarks.compile_report", "--json", str(path), *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The rows of each target. They are compiled side by side."""
    folder = tmp_path_factory.mktemp("compiled")
    running = {target: _compile(folder / target, "--target", target) for target in TARGETS}
    errors = {target: process.communicate()[1] for target, process in running.items()}
    assert all(process.returncode == 0 for process in running.values()), errors
    return {target: json.loads((folder / target).read_text())["rows"] for target in TARGETS}


@pytest.mark.parametrize("target", TARGETS)
def test_no_kernel_spills(reports, target):
    kernels = {row["kernel"] for row in reports[target]}
    assert {"mix", "sum_gradients", "gather_gradients", "count", "prepare", "compute_gradients"} < kernels
    assert {"warp", "sum_theta_gradients"} < kernels
    assert [row for row in reports[target] if row["spills"] or row["stack"]] == []


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS + OTHERS)
def test_no_configuration_spills(tmp_path, target):
    """Every combination of layout, dtype and memory format, where `reports` has each of them at least once."""
    process = _compile(tmp_path / target, "--target", target, "--all")
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    rows = json.loads((tmp_path / target).read_text())["rows"]
    assert len({row["configuration"] for row in rows}) > 100
    assert [row for row in rows if row["spills"] or row["stack"]] == []


@pytest.mark.parametrize("target", TARGETS)
def test_the_forward_pass_needs_no_shared_memory(reports, target):
    assert [row for row in reports[target] if row["kernel"] in ("mix", "warp") and row["shared"]] == []


def test_registers_leave_room_for_enough_programs(reports):
    """The gradients of images that are not bytes take more."""
    for row in reports["sm_90"]:
        is_large = "float" in row["configuration"].split(" -> ")[0] and row["kernel"] == "sum_gradients"
        assert row["registers"] <= (128 if is_large else MOST_REGISTERS.get(row["kernel"], 128)), row


def test_pixels_are_read_and_written_two_at_a_time(reports):
    """Two bfloat16 pixels are three stores of 32 bits, in either order; packed pixels are read two at a time."""
    mixes = [row for row in reports["sm_90"] if row["kernel"] == "mix"]
    nhwc = next(row for row in mixes if row["configuration"] == "nhwc -> bfloat16")
    beside = next(row for row in mixes if row["configuration"] == "nhwc -> bfloat16 channels_last")
    assert nhwc["stores"] == beside["stores"] == {"32": 3}
    assert beside["loads"]["16"] == 3  # the tile's own pixels, six bytes a thread
    packed = next(row for row in mixes if row["configuration"] == "packed -> bfloat16")
    assert packed["loads"]["64"] == 1
