"""What the compiler makes of the Triton kernels, for GPUs that are not here, and the speed it would allow at most.

    python -m benchmarks.compile_report                          # sm_80, sm_90, sm_100 and gfx942
    python -m benchmarks.compile_report --target sm_90 --all     # every combination of layout, dtype and format

Two bounds are given for the mix at 224 x 224: that of memory, each image read and written once, and that of instruction
issue, one instruction a clock for each of a GPU's schedulers. They are bounds, not measurements.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import triton
import triton.language as tl

from benchmarks import ahead_of_time
from benchmarks.ahead_of_time import ALL, FEW, TARGETS, Compiled, compile_for
from tst_kernels import OPERATIONS, Family
from tst_kernels.fused import families, launch, pixels
from tst_kernels.fused.pixels import Image


@dataclass(frozen=True)
class Gpu:
    """What bounds a kernel: schedulers times clock is warp instructions a second.

    Attributes:
        target: the compiler's name for it.
        processors: streaming multiprocessors, each with four schedulers.
        clock: highest, in Hz.
        bandwidth: of memory, in bytes a second.
    """

    target: str
    processors: int
    clock: float
    bandwidth: float


GPUS = {
    "H200": Gpu("sm_90", 132, 1.98e9, 4.8e12),
    "H100 SXM": Gpu("sm_90", 132, 1.98e9, 3.35e12),
    "A100 80 GB": Gpu("sm_80", 108, 1.41e9, 2.04e12),
}
"""From their data sheets."""


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


def instructions_per_pixel(target: str, images: str) -> dict[str, float]:
    """Of each operation, over those of a mix without operations, which is "none"."""
    source = ahead_of_time._without_data(images, 256, 224, 224)
    result = torch.empty(256, 3, 224, 224, dtype=torch.bfloat16, device="meta")
    numbers = torch.empty(64, device="meta")
    tables = torch.empty(1536, dtype=torch.uint8, device="meta")

    def count(family: int) -> float:
        def run() -> None:
            options = launch._options()
            constants = launch._constants([0.5] * 9)
            arguments = (launch._image(source), launch._image(result), numbers, tables, constants, family)
            one_family[(1,)](*arguments, launch._THREADS, launch.PIXELS, **options)

        return compile_for(target, run)[0].instructions / launch.PIXELS

    base = count(-1)
    costs = {family: count(int(family)) - base for family in Family}
    return {"none": base} | {name: costs[operation.family] for name, operation in OPERATIONS.items()}


def bounds(gpu: Gpu, images: str, costs: dict[str, float], slots: int = 4) -> dict[str, float]:
    """images/s at 224 x 224 with `slots` operations of average cost, 8-bit images to bfloat16."""
    pixel_count = 224 * 224
    bytes_a_pixel = {"packed": 4, "nhwc": 3, "nchw": 3}[images] + 3 * 2
    average = statistics.mean(cost for name, cost in costs.items() if name != "none")
    instructions = pixel_count * (costs["none"] + slots * average)
    return {
        "bytes_per_pixel": bytes_a_pixel,
        "memory_bound": gpu.bandwidth / (pixel_count * bytes_a_pixel),
        "issue_bound": gpu.processors * 4 * 32 * gpu.clock / instructions,
    }


def compile_all(target: str, configurations: Iterable[ahead_of_time.Configuration]) -> list[dict[str, object]]:
    """A row for each kernel of each configuration, and of the standalone warp."""
    rows = []
    for configuration in configurations:
        for compiled in compile_for(target, configuration.launch):
            rows.append(_row(target, str(configuration), compiled) | {"default": configuration.is_default})
    for compiled in compile_for(target, ahead_of_time.launch_warps):
        rows.append(_row(target, "standalone", compiled) | {"default": False})
    return rows


def _row(target: str, configuration: str, compiled: Compiled) -> dict[str, object]:
    return {"target": target, "configuration": configuration} | asdict(compiled)


def _print(rows: list[dict[str, object]]) -> None:
    for row in rows:
        widths = ", ".join(
            f"{count} {kind} of {width} bits"
            for kind in ("loads", "stores")
            for width, count in sorted(row[kind].items(), key=lambda item: int(item[0]))
        )
        print(
            f"{row['target']:7} {row['configuration']:38} {row['kernel']:20} {row['registers']:4} registers, "
            f"{row['spills']} spills, {row['stack']} stack, {row['shared']} shared, {row['instructions']} instructions "
            f"for {row['pixels']} pixels; {widths}"
        )


def _print_costs(target: str) -> None:
    for images in ("packed", "nhwc", "nchw"):
        costs = instructions_per_pixel(target, images)
        print(f"\n{target}, {images}: instructions a pixel, {costs['none']:.0f} without operations, and more for")
        print("  " + ", ".join(f"{name} {cost:.0f}" for name, cost in costs.items() if name != "none"))
        for name, gpu in GPUS.items():
            if gpu.target == target:
                bound = bounds(gpu, images, costs)
                print(
                    f"  {name}, 4 operations at 224 x 224: at most {bound['issue_bound']:,.0f} images/s by instruction "
                    f"issue, {bound['memory_bound']:,.0f} by memory ({bound['bytes_per_pixel']} bytes a pixel)"
                )


def main() -> None:
    """Compile, print the reports or write them as JSON; fail on a spill."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=TARGETS, action="append", help="default: all")
    parser.add_argument("--all", action="store_true", help="every combination of layout, dtype and memory format")
    parser.add_argument("--json", type=Path, help="write the rows here and leave out the costs of operations")
    arguments = parser.parse_args()
    if launch.INTERPRETED:
        sys.exit("unset TRITON_INTERPRET: interpreted kernels cannot be compiled")
    rows = []
    for target in arguments.target or TARGETS:
        found = compile_all(target, ALL if arguments.all else FEW)
        rows += found
        if arguments.json is None:
            _print(found)
            if target in {gpu.target for gpu in GPUS.values()}:
                _print_costs(target)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"triton": triton.__version__, "rows": rows}, indent=1) + "\n")
    spilled = [row for row in rows if row["spills"]]
    if spilled:
        sys.exit(f"{len(spilled)} kernels spill registers, such as {spilled[0]}")


if __name__ == "__main__":
    main()
