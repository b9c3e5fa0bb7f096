"""The speed that a GPU allows the mix at most: bounds counted from its machine code, not measurements.

That of memory: each image is read and written once. That of instruction issue: one instruction a clock for each of the
GPU's schedulers, four operations of average cost an image. That of the first cache: one line of 128 bytes a clock for
each multiprocessor, of all the lines that a warp's loads and stores touch.

    python -m benchmarks.bounds --json benchmarks/results/bounds.json     # of the GPUs in data sheets; none is needed
"""

import argparse
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import triton
import triton.language as tl

from benchmarks import ahead_of_time
from benchmarks.ahead_of_time import TARGETS, compile_for
from benchmarks.results import Results, Row, machine, show
from tst_kernels import OPERATIONS, Family
from tst_kernels.fused import families, launch, launcher, pixels
from tst_kernels.fused.pixels import Image

SIZE = 224
LAYOUTS = {"packed": 4, "nhwc": 3, "nchw": 3}
"""Bytes of a pixel in each layout of 8-bit images."""
SLOTS = 4  # operations an image
SCHEDULERS = 4  # of a streaming multiprocessor
LINES = {"packed": (2, 4), "nhwc": (12, 12), "nchw": (3, 6)}
"""Cache lines that a warp touches, of 32 threads and two pixels each, as it reads its own pixels and others:
RGBX as words of 8 and of 4 bytes, RGB byte by byte over 192 bytes, planes as words of 2 bytes and byte by byte."""
READS = {Family.WARP: 4, Family.SHARPNESS: 8}
"""Other pixels that a pixel of these families reads."""
LOOK_UPS, STORES = 6, 3
"""Lines, at least, of six entries of a table, and of three channels in bfloat16."""


@dataclass(frozen=True)
class Gpu:
    """What bounds a kernel: schedulers times clock is warp instructions a second.

    Attributes:
        name: as people know it.
        target: the compiler's name for it, one of `TARGETS`.
        processors: streaming multiprocessors, each with four schedulers.
        clock: highest, in Hz.
        bandwidth: of memory, in bytes a second.
    """

    name: str
    target: str
    processors: int
    clock: float
    bandwidth: float


DATA_SHEETS = {
    "NVIDIA H200": Gpu("H200", "sm_90", 132, 1.98e9, 4.8e12),
    "NVIDIA H100 80GB HBM3": Gpu("H100 SXM", "sm_90", 132, 1.98e9, 3.35e12),
    "NVIDIA A100-SXM4-80GB": Gpu("A100 80 GB SXM", "sm_80", 108, 1.41e9, 2.04e12),
}
"""By the name that CUDA gives the GPU."""


def this_gpu() -> Gpu | None:
    """The GPU here: from its data sheet, else from what CUDA says of it; None where its code is none of `TARGETS`."""
    name = torch.cuda.get_device_name()
    if name in DATA_SHEETS:
        return DATA_SHEETS[name]
    properties = torch.cuda.get_device_properties()
    target = f"sm_{properties.major}{properties.minor}"
    if target not in TARGETS:
        return None
    transfers = 2 * 1e3 * getattr(properties, "memory_clock_rate", 0)  # kHz, double data rate
    bandwidth = transfers * getattr(properties, "memory_bus_width", 0) / 8
    clock = 1e3 * getattr(properties, "clock_rate", 0)
    return Gpu(name, target, properties.multi_processor_count, clock, bandwidth)


@triton.jit
def one_family(
    images, result, slot, tables, constants, FAMILY: tl.constexpr, THREADS: tl.constexpr, PIXELS: tl.constexpr
):
    """The mix with a single slot of a family known at compile time, to count its instructions."""
    program = tl.program_id(0)
    tiles = tl.cdiv(images.layout.height * images.layout.width, THREADS * PIXELS)
    number = program // tiles
    image = Image(pixels.start_of(images, number), images.layout)
    tile = pixels.tile_at(image, program - number * tiles, THREADS, PIXELS)
    pixel = pixels.load_tile(image, tile)
    fill = pixels.fill_of(constants)
    changed = families.transform(FAMILY, slot, image, tile, pixel, tables, fill, True)
    gate = tl.load(slot + families.GATE_COLUMN)
    total = pixels.add(pixel, pixels.scale(pixels.subtract(changed, pixel), gate))
    total = pixels.add(pixels.multiply(total, pixels.scale_of(constants)), pixels.shift_of(constants))
    pixels.store_tile(Image(pixels.start_of(result, number), result.layout), tile, total)


def instructions_per_pixel(target: str, layout: str) -> dict[str, float]:
    """Of each operation, over those of a mix without operations, which is "none"; `layout` is one of `LAYOUTS`."""
    source = ahead_of_time.without_data(layout, 256, SIZE, SIZE)
    result = torch.empty(256, 3, SIZE, SIZE, dtype=torch.bfloat16, device="meta")
    numbers = torch.empty(64, device="meta")
    tables = torch.empty(1536, dtype=torch.uint8, device="meta")

    def count(family: int) -> float:
        def run() -> None:
            options = launcher.options(launch.THREADS)
            constants = launch._constants([0.5] * 9)
            both = (launch.specialised(launch._image(images)) for images in (source, result))
            one_family[(1,)](*both, numbers, tables, constants, family, launch.THREADS, launch.PIXELS, **options)

        return compile_for(target, run)[0].instructions / launch.PIXELS

    base = count(-1)
    costs = {family: count(int(family)) - base for family in Family}
    return {"none": base} | {name: costs[operation.family] for name, operation in OPERATIONS.items()}


def cache_lines_per_pixel(images: str) -> float:
    """That the mix touches in the first cache, with `SLOTS` operations an image of average need."""
    own, other = LINES[images]
    families = [operation.family for operation in OPERATIONS.values()]
    each = statistics.mean(READS.get(family, 0) * other + LOOK_UPS * (family == Family.TABLE) for family in families)
    return (own + STORES + SLOTS * each) / (32 * launch.PIXELS)


def bounds(gpu: Gpu, images: str, costs: Mapping[str, float]) -> Row:
    """images/s at most, 8-bit images to bfloat16, `SLOTS` operations an image of average cost."""
    average = statistics.mean(cost for name, cost in costs.items() if name != "none")
    bytes_a_pixel = LAYOUTS[images] + 3 * 2
    warp_instructions = SIZE**2 / 32 * (costs["none"] + SLOTS * average)
    return {
        "gpu": gpu.name,
        "images": images,
        "size": SIZE,
        "operations": SLOTS,
        "issue_bound": gpu.processors * SCHEDULERS * gpu.clock / warp_instructions,
        "cache_bound": gpu.processors * gpu.clock / (SIZE**2 * cache_lines_per_pixel(images)),
        "memory_bound": gpu.bandwidth / (SIZE**2 * bytes_a_pixel),
        "bytes_per_pixel": bytes_a_pixel,
        "instructions_per_pixel": costs,
    }


def measure(results: Results, gpus: Iterable[Gpu], layouts: Iterable[str] = LAYOUTS) -> None:
    """Add a row for each layout and GPU. Those of one target share their code."""
    gpus = list(gpus)
    for target in sorted({gpu.target for gpu in gpus}):
        for images in layouts:
            costs = instructions_per_pixel(target, images)
            for gpu in gpus:
                if gpu.target == target:
                    results.add(bounds(gpu, images, costs))


def main(arguments: Sequence[str] | None = None) -> None:
    """Compile, print the bounds, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args(arguments)
    if launch.INTERPRETED:
        sys.exit("unset TRITON_INTERPRET: interpreted kernels cannot be compiled")
    results = Results(machine("triton"), options.json)
    measure(results, DATA_SHEETS.values())
    show("At most, by instructions and by memory", results.rows)


if __name__ == "__main__":
    main()
