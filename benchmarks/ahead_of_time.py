"""Compile the Triton kernels for GPUs that are not here, through the functions that launch them.

The functions on the host run as always, on tensors of the "meta" device, which have shapes, strides and dtypes but no
data; in place of the driver stands one that names the GPU asked for, and each launch ends after compilation. So what is
compiled is what would be launched, with the specialisation of Triton's own just-in-time compiler.
"""

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver

from tst_kernels.fused import launch, launcher

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
_UNDEFINED = re.compile(r"(?:\basm sideeffect|\bload|\bstore) .*\b(?:poison|undef)\b")
"""A load or store in LLVM's code, for NVIDIA GPUs an assembly instruction, that has an operand without a value."""
_TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


@dataclass(frozen=True)
class Compiled:
    """What the compiler made of one kernel.

    Attributes:
        kernel: the kernel function's name.
        registers: a thread (vector registers on AMD GPUs).
        spills: accesses to local memory, into which registers spill; on AMD GPUs, to scratch, and registers spilled.
        shared: bytes of shared memory a program.
        instructions: machine instructions, all branches counted.
        loads: global loads by width, such as {"32": 4}.
        stores: global stores by width.
        pixels: pixels a thread works on at a time.
        undefined: loads and stores whose address or value nothing computes: the compiler's fault.
    """

    kernel: str
    registers: int
    spills: int
    shared: int
    instructions: int
    loads: dict[str, int]
    stores: dict[str, int]
    pixels: int
    undefined: int


@dataclass(frozen=True)
class Configuration:
    """One way to call `mix`, forward and backward.

    Attributes:
        images: "packed", "nhwc", "nchw", "gaps" (uint8), "float32", "float16", "bfloat16", the last three also with
            " channels_last"; or "grey" (uint8).
        dtype: of the result.
        channels_last: the result's memory format.
        size: height and width.
        slots: operations an image.
        plain: int64 codes, no centres, and a gradient that is one number expanded.
        pictures: each of a size of its own on the canvas, and no warps.
    """

    images: str
    dtype: torch.dtype = torch.bfloat16
    channels_last: bool = False
    size: tuple[int, int] = (224, 224)
    slots: int = 4
    plain: bool = False
    pictures: bool = False

    def __str__(self) -> str:
        layout = " channels_last" if self.channels_last else ""
        size = "" if self.size == (224, 224) else f", {self.size[0]}x{self.size[1]}, {self.slots} slots"
        pictures = ", pictures" if self.pictures else ""
        return f"{self.images} -> {str(self.dtype).removeprefix('torch.')}{layout}{size}{pictures}"

    @property
    def is_default(self) -> bool:
        """What a loader of 8-bit images launches."""
        return self.images in ("packed", "nhwc", "nchw") and self.size == (224, 224) and not self.pictures

    def launch(self) -> None:
        """Run the functions on the host, on tensors without data."""
        images, slots = without_data(self.images, 256, *self.size), self.slots
        operations = torch.empty(256, slots, dtype=torch.int64 if self.plain else torch.int32, device="meta")
        levels = gates = torch.empty(256, slots, device="meta")
        centres = None if self.plain else torch.empty(256, 2, device="meta")
        constants = [0.5] * 9
        draw = (operations, levels, gates, centres)
        sizes = torch.empty(256, 2, dtype=torch.int32, device="meta") if self.pictures else None
        rest = (not self.pictures, sizes)
        result, *saved = launch.mix_forward(images, draw, constants, self.dtype, self.channels_last, *rest)
        gradient = torch.empty((), dtype=self.dtype, device="meta").expand(result.shape) if self.plain else result
        launch.mix_backward(gradient, images, draw[:2], saved, constants, images.is_floating_point(), *rest)


MAIN = (
    Configuration("packed"),
    Configuration("nhwc"),
    Configuration("nhwc", channels_last=True),
    Configuration("float32", torch.float32),
)
"""What a loader of 8-bit images launches, and images that have gradients."""

FEW = (
    *MAIN,
    Configuration("packed", channels_last=True),
    Configuration("nchw", torch.float32),
    Configuration("gaps", torch.float16),
    Configuration("bfloat16 channels_last", channels_last=True),
    Configuration("grey", torch.float32, size=(28, 28), slots=1),
    Configuration("float16", torch.float16, size=(17, 19), slots=3, plain=True),
    Configuration("nhwc", torch.float32, size=(32, 32), slots=1),
    Configuration("nchw", size=(1, 1), slots=1, plain=True),
    Configuration("nhwc", pictures=True),
    Configuration("float32", torch.float32, pictures=True),
)
"""Each layout, dtype and memory format at least once; sizes that divide by 16 and sizes that do not."""

ALL = tuple(
    Configuration(images, dtype, channels_last, size, slots)
    for images in ("packed", "nhwc", "nchw", "gaps", "grey", "float32", "float16", "bfloat16", "float32 channels_last")
    for dtype in (torch.float32, torch.bfloat16, torch.float16)
    for channels_last in (False, True)
    for size, slots in (((224, 224), 4), ((17, 19), 1))
)


def without_data(kind: str, batch: int, height: int, width: int) -> Tensor:
    """[B, C, H, W] images of a layout, on the "meta" device."""
    if kind in ("packed", "nhwc"):
        nhwc = torch.empty(batch, height, width, 4 if kind == "packed" else 3, dtype=torch.uint8, device="meta")
        return nhwc[..., :3].permute(0, 3, 1, 2)
    if kind == "gaps":
        return torch.empty(batch, 3, height, 2 * width, dtype=torch.uint8, device="meta")[..., ::2]
    if kind in ("nchw", "grey"):
        return torch.empty(batch, 1 if kind == "grey" else 3, height, width, dtype=torch.uint8, device="meta")
    name, _, memory_format = kind.partition(" ")
    layout = torch.channels_last if memory_format else torch.contiguous_format
    return torch.empty(batch, 3, height, width, dtype=getattr(torch, name), device="meta", memory_format=layout)


IMAGES = (torch.float32, torch.float16, torch.bfloat16)
LABEL_MAPS = (torch.uint8, torch.int16, torch.int32, torch.int64, torch.float64)


def launch_warps(dtypes: Iterable[torch.dtype] = (*IMAGES, *LABEL_MAPS)) -> None:
    """Every mode of the standalone warp: images forward and backward, label maps forward."""
    theta = torch.empty(8, 2, 3, device="meta")
    for dtype in dtypes:
        if dtype in IMAGES:
            images = torch.empty(8, 3, 224, 224, dtype=dtype, device="meta")
            for bilinear in (True, False):
                launch.warp_forward(images, theta, bilinear, 0.5)
                launch.warp_backward(images, images, theta, bilinear, 0.5, (True, True))
        else:
            launch.warp_forward(torch.empty(8, 1, 65, 33, dtype=dtype, device="meta"), theta, False, 255.0)


class _StandInDriver:
    """Names a GPU, and has none."""

    def __init__(self, target: GPUTarget) -> None:
        self.target = target

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("meta")


class _Forgetful(dict):
    """Holds nothing, so that no kernel is launched without Triton's compiler."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


@contextlib.contextmanager
def compile_only(target: GPUTarget) -> Iterator[list[Any]]:
    """Within, every launch of a Triton kernel compiles it for `target` and appends it to the list given."""
    compiled: list[Any] = []
    run = triton.runtime.JITFunction.run

    def compile_it(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        kernel = run(self, *args, grid=grid, warmup=True, **kwargs)
        compiled.append(kernel)
        self.device_caches.clear()  # they belong to the stand-in
        return kernel

    before = driver._active
    driver.set_active(_StandInDriver(target))
    launcher.is_amd.cache_clear()
    try:
        with (
            mock.patch.object(triton.runtime.JITFunction, "run", compile_it),
            mock.patch.object(launcher, "compiled", _Forgetful()),
        ):
            yield compiled
    finally:
        driver._active = before
        launcher.is_amd.cache_clear()


def compile_for(target: str, launch: Callable[[], object]) -> list[Compiled]:
    """Every kernel that `launch` launches, compiled for one of TARGETS."""
    with compile_only(TARGETS[target]) as kernels:
        launch()
    return [inspect(kernel) for kernel in kernels]


def inspect(kernel: Any) -> Compiled:
    """Read a compiled kernel's machine code."""
    pixels = next((value for (index,), value in _constants(kernel) if kernel.src.fn.arg_names[index] == "PIXELS"), 1)
    read = _inspect_amd if kernel.metadata.target.backend == "hip" else _inspect_nvidia
    undefined = len(_UNDEFINED.findall(kernel.asm["llir"]))
    shared = kernel.metadata.shared
    return Compiled(kernel.src.fn.__name__, shared=shared, pixels=pixels, undefined=undefined, **read(kernel))


def _constants(kernel: Any) -> Iterator[tuple[tuple[int], Any]]:
    return ((path, value) for path, value in kernel.src.constants.items() if len(path) == 1)


def _inspect_nvidia(kernel: Any) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        usage = _run("cuobjdump", "-res-usage", file.name)
        code = _run("nvdisasm", "-c", file.name)
    lines = re.findall(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", code, re.MULTILINE)
    instructions = [line for line in lines if not line.startswith("NOP")]
    return {
        "registers": int(re.search(r"REG:(\d+)", usage)[1]),
        "spills": sum(line.startswith(("LDL", "STL")) for line in instructions),
        "instructions": len(instructions),
        "loads": _widths(line for line in instructions if line.startswith("LDG")),
        "stores": _widths(line for line in instructions if line.startswith("STG")),
    }


def _run(tool: str, *arguments: str) -> str:
    return subprocess.run([_TOOLS / tool, *arguments], capture_output=True, text=True, check=True).stdout


def _widths(lines: Iterator[str]) -> dict[str, int]:
    """Bits of each access, from the suffix of its instruction; no suffix is 32."""
    counts: dict[str, int] = {}
    for line in lines:
        found = re.search(r"\.[US](8|16)\b|\.(64|128)\b", line)
        width = (found[1] or found[2]) if found else "32"
        counts[width] = counts.get(width, 0) + 1
    return counts


def _inspect_amd(kernel: Any) -> dict[str, Any]:
    code = kernel.asm["amdgcn"]
    lines = re.findall(r"^\s+((?:[vs]|global|flat|buffer|ds|scratch)_\w+)", code, re.MULTILINE)

    def number(key: str) -> int:
        return int(re.search(rf"\.{key}:\s*(\d+)", code)[1])

    return {
        "registers": number("vgpr_count"),
        "spills": number("vgpr_spill_count")
        + number("sgpr_spill_count")
        + sum(line.startswith("scratch_") for line in lines),
        "instructions": len(lines),
        "loads": _amd_widths(line for line in lines if re.match(r"(global|flat|buffer)_load", line)),
        "stores": _amd_widths(line for line in lines if re.match(r"(global|flat|buffer)_store", line)),
    }


def _amd_widths(lines: Iterator[str]) -> dict[str, int]:
    names = {"byte": "8", "short": "16", "dword": "32", "dwordx2": "64", "dwordx3": "96", "dwordx4": "128"}
    counts: dict[str, int] = {}
    for line in lines:
        kind = re.search(r"(byte|short|dwordx?\d?)", line)
        width = names[kind[1]] if kind else "32"
        counts[width] = counts.get(width, 0) + 1
    return counts
