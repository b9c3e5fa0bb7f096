"""One launch of a kernel, at little cost on the host where arguments like these were launched before.

Triton finds the compiled kernel anew on every launch: it looks at each argument, and compares every constant that the
kernel reads with what it was. Here a tuple is looked up instead, and the compiled kernel is launched by itself.
"""

import contextlib
import functools
from collections.abc import Hashable
from typing import Any

import torch
import triton
from torch import Tensor

from tst_kernels.fused import forward

INTERPRETED: bool = not isinstance(forward.mix, triton.runtime.JITFunction)
"""Whether TRITON_INTERPRET=1 was set when the kernels were defined: they then run on the CPU, in numpy."""
VERSION = tuple(int(number) for number in triton.__version__.split(".")[:2])
_MOST_REGISTERS = 96
_ALIGNMENT = 16
"""Bytes: what Triton asks of an address before it loads several elements at a time."""
_MOST_COMPILED = 4096
"""Kernels that are remembered, for images of ever new sizes."""
compiled: dict[Hashable, Any] = {}
"""Kernels by what they were compiled for."""


def specialisation_key(*tensors: Tensor | None) -> tuple[Hashable, ...]:
    """All that a kernel may be compiled for: of equal keys, tensors differ in their values alone."""
    return tuple(
        [
            None if one is None else (one.dtype, one.shape, one.stride(), one.data_ptr() % _ALIGNMENT, one.device)
            for one in tensors
        ]
    )


def launch(
    kernel: Any,
    programs: int,
    arguments: tuple,
    constants: tuple,
    key: Hashable,
    threads: int = 128,
    registers: int | None = None,
) -> None:
    """Start `programs` of a kernel, on the current device.

    Args:
        kernel: a function of `triton.jit`.
        programs: of the grid.
        arguments: the first of the kernel, with all tensors.
        constants: the others: whole numbers and what is known at compile time.
        key: the `specialisation_key` of what `arguments` follow from.
        threads: a program.
        registers: the most that a thread may have, see `options`.
    """
    if INTERPRETED:
        kernel[(programs,)](*arguments, *constants)
        return
    entry = kernel.fn, key, constants
    known = compiled.get(entry)
    if known is not None:
        known[(programs, 1, 1)](*arguments, *constants)
        return
    if len(compiled) >= _MOST_COMPILED:
        compiled.clear()
    compiled[entry] = kernel[(programs,)](*arguments, *constants, **options(threads, registers))


def options(threads: int, registers: int | None = None) -> dict[str, Any]:
    """For the compiler, with the most registers a thread may have on an NVIDIA GPU; None leaves that to it.

    Fusing multiplication and addition saves an eighth of the instructions.
    """
    target = triton.runtime.driver.active.get_current_target()
    chosen = {"num_warps": max(1, threads // target.warp_size), "enable_fp_fusion": True}
    if registers is not None and target.backend == "cuda":
        chosen["maxnreg"] = registers if target.arch >= 90 else max(registers, _MOST_REGISTERS)
    return chosen


@functools.cache
def is_amd(device: torch.device) -> bool:
    """Whether the kernels that are launched on a device are compiled for an AMD GPU; asked once."""
    return not INTERPRETED and triton.runtime.driver.active.get_current_target().backend == "hip"


def device_guard(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """The device whose stream the kernels join."""
    if device.type != "cuda" or device.index == torch.cuda.current_device():
        return contextlib.nullcontext()
    return torch.cuda.device(device)
