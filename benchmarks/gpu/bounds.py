"""The bounds that instructions and memory set on this GPU, from the machine code that its Triton makes."""

from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks import bounds
from benchmarks.gpu.cases import Case, Setting
from benchmarks.peers import Unavailable
from benchmarks.results import Row

LAYOUTS = ("packed", "nhwc")


def cases(setting: Setting, so_far: Sequence[Row]) -> Iterator[Case]:
    """A row for each layout that the kernels' part measures."""
    for images in LAYOUTS:
        yield Case({"images": images}, partial(_measure, images))


def _measure(images: str) -> Row:
    from tst_kernels.fused import launch

    if launch.INTERPRETED:
        raise Unavailable("interpreted kernels have no machine code: unset TRITON_INTERPRET")
    gpu = bounds.this_gpu()
    if gpu is None:
        raise Unavailable("nothing is known of this GPU")
    return bounds.bounds(gpu, images, bounds.instructions_per_pixel(gpu.target, images))
