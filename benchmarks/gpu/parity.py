"""Whether the kernels are right on this GPU: against the reference in float64 on the CPU, and bit by bit among runs."""

import time
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.gpu.cases import Case, Setting
from benchmarks.gpu.inputs import KINDS, MEAN, STD, Kind, draw_of, images_of
from benchmarks.results import Row
from benchmarks.timing import synchronise
from tst_kernels import Draw, mix, warp

ODD = 37, 53
BATCH = 16  # 64 operations are drawn
LIMITS = {torch.float32: 1e-5, torch.bfloat16: 2**-8, torch.float16: 2**-11}
"""How far results may be from float64, relative to the norm: one rounding of the result."""
GRADIENT_LIMIT = 1e-4
RUNS = 10


def cases(setting: Setting, so_far: Sequence[Row]) -> Iterator[Case]:
    """Every kind of images and results, at an odd size and at the main one; the warp; then repeated runs."""
    main = (setting.sizes[0],) * 2
    kinds = (*KINDS, Kind("nchw", torch.float16))
    for kind in kinds:
        for size in (ODD, main):
            what = {"name": "mix against float64", **kind.columns, "size": f"{size[0]}x{size[1]}"}
            yield Case(what, partial(_mix, kind, size, setting.device))
    for interpolation in ("bilinear", "nearest"):
        yield Case({"name": f"warp against float64, {interpolation}"}, partial(_warp, interpolation, setting.device))
    for kind in kinds[:1] + kinds[3:4]:
        what = {"name": f"the same bits in {RUNS} runs", **kind.columns, "size": f"{main[0]}x{main[1]}"}
        yield Case(what, partial(_repeated, kind, main, setting.device))


def _mix(kind: Kind, size: tuple[int, int], device: torch.device) -> Row:
    """Errors of the result and of each gradient. Memory that was not written would be NaN."""
    images, draw = images_of(kind.images, BATCH, size, device), draw_of(BATCH, device, gradients=True)
    exact = Draw(draw.operations.cpu(), _exact(draw.levels), _exact(draw.gates), draw.centres.cpu())
    expected = _step(_exact(images) if images.is_floating_point() else images.cpu(), exact, kind, torch.float64)
    torch.use_deterministic_algorithms(True, warn_only=True)  # fills new memory with NaN
    try:
        synchronise()
        start = time.perf_counter()
        found = _step(images.clone().requires_grad_(images.is_floating_point()), draw, kind, kind.result)
        synchronise()
        seconds = time.perf_counter() - start
    finally:
        torch.use_deterministic_algorithms(False)
    names = ("error", "level_gradient_error", "gate_gradient_error", "image_gradient_error")
    row = {name: _relative(*pair) for name, *pair in zip(names, found, expected, strict=False)}
    limits = [LIMITS[kind.result]] + [max(GRADIENT_LIMIT, LIMITS[kind.result])] * 3
    is_right = all(error <= limit for error, limit in zip(row.values(), limits, strict=False))
    return row | {"is_right": is_right, "first_call_seconds": seconds}


def _step(images: Tensor, draw: Draw, kind: Kind, dtype: torch.dtype) -> list[Tensor]:
    """The result, and gradients of levels, of gates and of floating images."""
    result = mix(images, draw, MEAN, STD, dtype, memory_format=kind.memory_format)
    upstream = torch.rand(result.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5
    leaves = [draw.levels, draw.gates] + [images] * images.is_floating_point()
    upstream = upstream.to(kind.result).to(result.device, dtype)  # the same numbers in both precisions
    upstream = upstream.contiguous(memory_format=kind.memory_format)
    return [result, *torch.autograd.grad(result, leaves, upstream)]


def _exact(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().double().requires_grad_()


def _relative(found: Tensor, expected: Tensor) -> float:
    """The norm of the error over that of what was expected; NaN where anything is."""
    return ((found.detach().cpu().double() - expected.detach()).norm() / expected.detach().norm()).item()


def _warp(interpolation: str, device: torch.device) -> Row:
    """A rotation and a zoom; "nearest" keeps label maps as they are, so errors are a share of pixels there."""
    theta = torch.tensor([[[0.8, -0.3, 0.1], [0.25, 0.9, -0.05]]], dtype=torch.float64).expand(8, 2, 3)
    images = images_of("float32", 8, ODD, torch.device("cpu")).double()
    labels = (images[:, 0] * 255).long()
    source = images if interpolation == "bilinear" else labels
    found = warp(source.to(device, torch.float32 if interpolation == "bilinear" else None), theta.to(device).float(),
                 interpolation, fill=1.0)  # fmt: skip
    expected = warp(source, theta, interpolation, fill=1.0, backend="torch")
    if interpolation == "bilinear":
        error, limit = _relative(found, expected), LIMITS[torch.float32]
    else:
        error, limit = (found.cpu() != expected).double().mean().item(), 0.001  # ties of positions in float32
    return {"error": error, "is_right": error <= limit}


def _repeated(kind: Kind, size: tuple[int, int], device: torch.device) -> Row:
    images, draw = images_of(kind.images, BATCH, size, device), draw_of(BATCH, device, gradients=True)
    images.requires_grad_(images.is_floating_point())
    first = _step(images, draw, kind, kind.result)
    again = (_step(images, draw, kind, kind.result) for _ in range(RUNS - 1))
    return {"is_right": all(torch.equal(a, b) for run in again for a, b in zip(first, run, strict=True))}
