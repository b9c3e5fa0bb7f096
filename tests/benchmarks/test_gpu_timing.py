"""Timing by events around a graph's replays, on a stand-in for CUDA whose clock is the number of calls made."""

import contextlib

import pytest
import torch

from benchmarks.gpu import timing

CALL = 7.0  # microseconds on the device


class Device:
    """Counts what is asked of it. Work done while a graph is captured takes no time then, and its time in a replay."""

    def __init__(self):
        self.now, self.captured, self.calls = 0.0, None, []

    def work(self, number):
        self.calls.append(number)
        if self.captured is None:
            self.now += CALL
        else:
            self.captured.append(number)

    def install(self, monkeypatch, capture_error=None):
        device = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self):
                self.at = device.now
                device.now += 0.25  # what an event costs is no part of what is between two

            def elapsed_time(self, later):
                return (later.at - self.at - 0.25) / 1e3

        class Graph:
            def replay(self):
                device.now += CALL * len(self.recorded)

        @contextlib.contextmanager
        def graph(one, stream):
            device.captured = []
            try:
                yield
                if capture_error:
                    raise capture_error
            finally:
                one.recorded, device.captured = device.captured, None

        stream = type("Stream", (), {"wait_stream": lambda self, other: None})
        for name, value in {
            "Event": Event, "CUDAGraph": Graph, "graph": graph, "Stream": stream, "current_stream": stream,
            "stream": lambda one: contextlib.nullcontext(),
        }.items():  # fmt: skip
            monkeypatch.setattr(torch.cuda, name, value)


def time_three(monkeypatch, capture_error=None):
    device = Device()
    device.install(monkeypatch, capture_error)
    prepared = []

    def prepare(number):
        prepared.append(number)
        return number

    calls = [(lambda number=number: prepare(number), device.work) for number in range(3)]
    times = timing.time_calls(calls, torch.device("cuda"), seconds=0.001)
    return device, times, prepared


def test_one_call_takes_what_a_replay_takes_over_the_calls_in_it(monkeypatch):
    device, times, prepared = time_three(monkeypatch)
    assert (times.median, times.lowest, times.highest, times.by) == (*[pytest.approx(CALL)] * 3, "graph")
    assert prepared == [0, 1, 2]
    assert {device.calls.count(number) for number in range(3)} == {device.calls.count(0)}
    assert device.calls[:6] == [0, 1, 2, 0, 1, 2]  # no input's turn comes again before the others'


def test_work_that_cannot_be_captured_is_timed_on_the_stream(monkeypatch, capsys):
    _, times, _ = time_three(monkeypatch, RuntimeError("operation not permitted when stream is capturing"))
    assert times.by == "stream" and times.median == pytest.approx(CALL)
    assert "not captured" in capsys.readouterr().out


def test_too_little_memory_is_told(monkeypatch):
    with pytest.raises(torch.OutOfMemoryError):
        time_three(monkeypatch, torch.OutOfMemoryError("CUDA out of memory"))


def test_small_inputs_are_copied_until_they_overflow_the_cache(monkeypatch):
    properties = type("Properties", (), {"L2_cache_size": 50 * 2**20})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    cuda = torch.device("cuda")
    assert timing.copies_for(50 * 2**20, cuda) == 4
    assert timing.copies_for(1000 * 2**20, cuda) == 1
    assert timing.copies_for(1, cuda) == timing.MOST_COPIES


def test_rows_give_images_per_second():
    row = timing.Times(500.0, 400.0, 600.0, "graph").row(images=256)
    assert row["images_per_second"] == pytest.approx(512_000) and row["microseconds"] == 500.0


def test_clocks_are_read_while_the_gpu_works(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nsleep 0.3\necho '1980, 1980, 2619, 41, 512.33'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    worked = []
    found = timing.clocks(lambda: worked.append(1))
    assert found["clocks.sm"] == "1980" and found["power.draw"] == "512.33"
    assert len(worked) > 10
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert timing.clocks(lambda: None) == {}
