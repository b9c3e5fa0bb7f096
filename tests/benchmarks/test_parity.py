"""The parity that is measured on a GPU finds what is wrong, here on a CPU with errors made on purpose."""

import pytest
import torch

from benchmarks.gpu import parity
from benchmarks.gpu.cases import Setting
from benchmarks.gpu.inputs import Kind, draw_of
from tst_kernels import OPERATIONS, mix

CPU = torch.device("cpu")
KIND = Kind("float32", torch.float32)


class FlippedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def with_error(change):
    """`mix`, changed where the reference in float64 is not asked for."""

    def changed(images, draw, mean, std, dtype, **options):
        result = mix(images, draw, mean, std, dtype, **options)
        return result if dtype == torch.float64 else change(result)

    return changed


def a_pixel_is_nan(result):
    holes = torch.zeros_like(result)
    holes[0, 0, 0, 0] = torch.nan
    return result + holes


def measure(monkeypatch, change=None):
    if change:
        monkeypatch.setattr(parity, "mix", with_error(change))
    return parity._mix(KIND, (12, 17), CPU)


def test_the_reference_agrees_with_itself(monkeypatch):
    row = measure(monkeypatch)
    assert row["is_right"] and row["first_call_seconds"] > 0
    assert 0 < row["image_gradient_error"] < 1e-5 and 0 < row["level_gradient_error"] < 1e-5


@pytest.mark.parametrize("change", [lambda result: 1.0001 * result, a_pixel_is_nan, FlippedGradient.apply])
def test_errors_are_found(monkeypatch, change):
    assert not measure(monkeypatch, change)["is_right"]


def test_gradients_come_in_the_memory_format_of_the_result(monkeypatch):
    seen = []

    def watched(result):
        result.register_hook(lambda gradient: seen.append(gradient.is_contiguous(memory_format=torch.channels_last)))
        return result

    monkeypatch.setattr(parity, "mix", with_error(watched))
    parity._mix(Kind(memory_format=torch.channels_last), (12, 17), CPU)
    assert seen == [True]


def test_runs_that_differ_are_found(monkeypatch):
    assert parity._repeated(KIND, (9, 9), CPU) == {"is_right": True}
    count = iter(range(100))
    monkeypatch.setattr(parity, "mix", with_error(lambda result: result + 1e-7 * (next(count) == 5)))
    assert parity._repeated(KIND, (9, 9), CPU) == {"is_right": False}


def test_warps_are_right_here(monkeypatch):
    rows = [
        case.measure() for case in parity.cases(Setting(CPU, [16], 2, 0.0, None, 0.0), []) if "warp" in str(case.what)
    ]
    assert len(rows) == 2 and all(row["is_right"] for row in rows)
    monkeypatch.setattr(parity, "warp", lambda images, *_, backend="auto", **__: images + (backend == "auto"))
    assert not parity._warp("bilinear", CPU)["is_right"] and not parity._warp("nearest", CPU)["is_right"]


def test_draws_hold_every_operation_and_levels_in_their_range():
    draw = draw_of(64, CPU, gradients=True)  # a level out of range is refused by Draw itself
    assert draw.operations.unique().numel() == len(OPERATIONS)
    assert all(len(row.unique()) == 4 for row in draw.operations)
    assert draw.levels.min() < -0.5 and draw.levels.requires_grad and 0 < draw.gates.min() < draw.gates.max() < 1
