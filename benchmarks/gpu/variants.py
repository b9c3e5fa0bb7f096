"""What other ways to launch the two large kernels would give: registers, pixels a thread and warps, one at a time."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from unittest import mock

from benchmarks.gpu.cases import Case, Setting
from benchmarks.gpu.inputs import KINDS
from benchmarks.gpu.kernels import timed_row
from benchmarks.peers import Unavailable
from benchmarks.results import Row

KERNELS = {"forward": "mix", "backward": "sum_gradients"}
"""The large kernel of each pass; the others are launched as always."""
VARIANTS: tuple[Mapping[str, int | None], ...] = (
    {},
    *({"maxnreg": limit} for limit in (None, 64, 80, 96, 128)),
    *({"pixels": pixels} for pixels in (1, 4)),
    {"pixels": 4, "maxnreg": 128},
    *({"threads": threads} for threads in (64, 256)),
    {},
)
"""Changes of the launch; none comes first and last, which shows the noise. The limit None leaves the compiler alone."""


def cases(setting: Setting, so_far: Sequence[Row]) -> Iterator[Case]:
    """Each variant, forward and backward."""
    for variant in VARIANTS:
        for passes in KERNELS:
            name = ", ".join(f"{key} {value}" for key, value in variant.items()) or "as launched"
            yield Case({"name": name, "pass": passes, **KINDS[0].columns}, partial(_measure, setting, variant, passes))


def _measure(setting: Setting, variant: Mapping[str, int | None], passes: str) -> Row:
    if setting.device.type != "cuda":
        raise Unavailable("needs a GPU")
    with launched(variant) as compiled:
        row = timed_row(setting, KINDS[0], setting.sizes[0], setting.batch, passes)
    kernel = compiled[KERNELS[passes]]
    return row | {"registers": getattr(kernel, "n_regs", None), "spills": getattr(kernel, "n_spills", None)}


@contextlib.contextmanager
def launched(variant: Mapping[str, int | None]) -> Iterator[dict[str, Any]]:
    """Within, both kernels are launched as `variant` says; gives those that were, by name."""
    import triton

    from tst_kernels.fused import launch, launcher

    run, compiled = triton.runtime.JITFunction.run, {}

    def run_it(self: Any, *arguments: Any, **options: Any) -> Any:
        name = self.fn.__name__
        if name in KERNELS.values() and "maxnreg" in variant:
            options.pop("maxnreg", None)
            options |= {} if variant["maxnreg"] is None else {"maxnreg": variant["maxnreg"]}
        compiled[name] = run(self, *arguments, **options)
        return compiled[name]

    with (
        mock.patch.object(triton.runtime.JITFunction, "run", run_it),
        mock.patch.object(launch, "PIXELS", variant.get("pixels", launch.PIXELS)),
        mock.patch.object(launch, "THREADS", variant.get("threads", launch.THREADS)),
        mock.patch.object(launcher, "compiled", {}),
    ):
        yield compiled
