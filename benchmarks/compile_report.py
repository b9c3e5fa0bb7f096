"""What the compiler makes of the Triton kernels, for GPUs that are not here.

Registers, spills, shared memory, instructions and the widths of loads and stores, kernel by kernel:

python -m benchmarks.compile_report                          # sm_80, sm_90, sm_100 and gfx942
python -m benchmarks.compile_report --target sm_90 --all     # every combination of layout, dtype and format
python -m benchmarks.compile_report --target sm_90 --main    # what the test suite compiles
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
import triton

from benchmarks import ahead_of_time
from benchmarks.ahead_of_time import ALL, FEW, MAIN, TARGETS, Compiled, compile_for, launch_warps
from tst_kernels.fused import launch


def compile_all(
    target: str, configurations: Iterable[ahead_of_time.Configuration], warps: Callable[[], None]
) -> list[dict[str, object]]:
    """A row for each kernel of each configuration, and of the standalone warp."""
    rows = []
    for configuration in configurations:
        for compiled in compile_for(target, configuration.launch):
            rows.append(_row(target, str(configuration), compiled) | {"default": configuration.is_default})
    for compiled in compile_for(target, warps):
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
            f"{row['spills']} spills, {row['shared']} shared, {row['instructions']} instructions "
            f"for {row['pixels']} pixels; {widths}"
        )


def main() -> None:
    """Compile, print the reports or write them as JSON; fail on a spill or on an access that the compiler broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=TARGETS, action="append", help="default: all")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="every combination of layout, dtype and memory format")
    which.add_argument("--main", action="store_true", help="what a loader launches, and images that have gradients")
    parser.add_argument("--json", type=Path, help="write the rows here instead")
    arguments = parser.parse_args()
    if launch.INTERPRETED:
        sys.exit("unset TRITON_INTERPRET: interpreted kernels cannot be compiled")
    configurations = MAIN if arguments.main else ALL if arguments.all else FEW
    warps = partial(launch_warps, (torch.float32, torch.uint8)) if arguments.main else launch_warps
    rows = []
    for target in arguments.target or TARGETS:
        found = compile_all(target, configurations, warps)
        rows += found
        if arguments.json is None:
            _print(found)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"triton": triton.__version__, "rows": rows}, indent=1) + "\n")
    for column, fault in (("spills", "spill registers"), ("undefined", "use addresses that nothing computes")):
        if found := [row for row in rows if row[column]]:
            sys.exit(f"{len(found)} kernels {fault}, such as {found[0]}")


if __name__ == "__main__":
    main()
