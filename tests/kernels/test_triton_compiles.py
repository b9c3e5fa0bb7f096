"""Every kernel compiles without spills for GPUs that are not here, in processes that have no interpreter set."""

import json
import os
import subprocess
import sys

import pytest

TARGET, OTHERS = "sm_90", ("sm_80", "sm_100", "gfx942")
"""The others are compiled by the long test alone: each takes a minute of a core."""
MOST_REGISTERS = {"mix": 80, "sum_gradients": 96}
"""Six and five programs of 128 threads a multiprocessor. Others may have 128, which is four programs."""


def _rows(folder, *arguments):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "benchmarks.compile_report", "--json", str(folder / "rows"), *arguments]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads((folder / "rows").read_text())["rows"]


@pytest.fixture(scope="module", params=[["--main"], pytest.param([], marks=pytest.mark.long)], ids=["main", "report"])
def rows(request, tmp_path_factory):
    """Of the main configurations, and of those of `make compile-report`."""
    return _rows(tmp_path_factory.mktemp("compiled"), "--target", TARGET, *request.param)


def test_no_kernel_spills(rows):
    kernels = {row["kernel"] for row in rows}
    assert {"mix", "sum_gradients", "gather_gradients", "count", "prepare", "compute_gradients"} < kernels
    assert {"warp", "sum_theta_gradients"} < kernels
    assert [row for row in rows if row["spills"]] == []


def test_every_address_and_value_is_computed(rows):
    """Triton 3.6 once lost the address of a look-up, for bytes in pairs and gradients in channels_last."""
    assert [row for row in rows if row["undefined"]] == []


@pytest.mark.long
@pytest.mark.parametrize("target", [TARGET, *OTHERS])
def test_no_configuration_spills(tmp_path, target):
    """Every combination of layout, dtype and memory format."""
    rows = _rows(tmp_path, "--target", target, "--all")
    assert len({row["configuration"] for row in rows}) > 100
    assert [row for row in rows if row["spills"] or row["undefined"]] == []


def test_the_forward_pass_needs_no_shared_memory(rows):
    assert [row for row in rows if row["kernel"] in ("mix", "warp") and row["shared"]] == []


def test_registers_leave_room_for_enough_programs(rows):
    """The gradients of images that are not bytes take more."""
    for row in rows:
        is_large = "float" in row["configuration"].split(" -> ")[0] and row["kernel"] == "sum_gradients"
        assert row["registers"] <= (128 if is_large else MOST_REGISTERS.get(row["kernel"], 128)), row


def test_pixels_are_read_and_written_two_at_a_time(rows):
    """Two bfloat16 pixels are three stores of 32 bits, in either order; packed pixels are read two at a time."""
    mixes = [row for row in rows if row["kernel"] == "mix"]
    nhwc = next(row for row in mixes if row["configuration"] == "nhwc -> bfloat16")
    beside = next(row for row in mixes if row["configuration"] == "nhwc -> bfloat16 channels_last")
    assert nhwc["stores"] == beside["stores"] == {"32": 3}
    assert beside["loads"]["16"] == 3  # the tile's own pixels, six bytes a thread
    packed = next(row for row in mixes if row["configuration"] == "packed -> bfloat16")
    assert packed["loads"]["64"] == 1
