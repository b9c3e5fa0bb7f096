"""images/s of the augmentation on a CPU, forward and with its gradients, beside other libraries doing the same work.

The arms are ours, eager and compiled, kornia, eager and compiled, and torchvision v2; see `benchmarks.work`. Within a
round one arm follows the other, and medians over the rounds are compared. On a GPU: `python -m benchmarks.gpu`.

    python -m benchmarks.kernels --json benchmarks/results/kernels-cpu.json
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import peers, work
from benchmarks.results import Results, Row, machine, show
from benchmarks.timing import interleaved, seconds_of
from benchmarks.work import PAPER, Arm
from tst_fast.run.host_memory import keep_freed_memory

SIZES = {224: 16, 32: 32, 512: 4}
"""Image side and batch. The first alone is measured forward only, too, and with kornia compiled."""
CPU = torch.device("cpu")
BASELINE = "kornia"


def arms(names: Sequence[str], compile_kornia: bool) -> tuple[dict[str, Arm], dict[str, str]]:
    """Every way to do the work, and why some are missing, each by name."""
    makers = {
        "ours": lambda: work.ours(names, CPU, backend="torch"),
        "ours, compiled": lambda: work.ours(names, CPU, backend="torch", compile=True),
        "torchvision": lambda: work.theirs(names, peers.torchvision()),
        "kornia": lambda: work.theirs(names, peers.kornia()),
        "kornia, compiled": lambda: work.theirs(names, peers.compiled_kornia()),
    }
    found, missing = {}, {}
    if not compile_kornia:
        del makers["kornia, compiled"]
        missing["kornia, compiled"] = "not measured: more than a minute of compilation"
    for name, make in makers.items():
        try:
            found[name] = make()
        except peers.Unavailable as reason:
            missing[name] = str(reason)
    return found, missing


def sweep(results: Results, sizes: Mapping[int, int], names: Sequence[str], rounds: int) -> None:
    """Add a row for each size, pass and arm."""
    for number, (size, batch) in enumerate(sizes.items()):
        torch.compiler.reset()  # compiled code for this size alone: past eight variants PyTorch would stop compiling
        images = torch.randint(0, 256, (batch, 3, size, size)) / 255
        is_main = number == 0
        for passes in ("forward", "both") if is_main else ("both",):
            found, missing = arms(names, compile_kornia=is_main and passes == "both")
            here = {"size": size, "batch": batch, "pass": passes}
            for row in measure(found, images, passes, len(work.draws(names)), rounds):
                results.add(here | row)
            for name, note in missing.items():
                results.add(here | {"name": name, "note": note})


def measure(found: Mapping[str, Arm], images: Tensor, passes: str, draws: int, rounds: int) -> list[Row]:
    """A row for each arm: images/s (median, lowest, highest), the ratio of medians, and what the first call took."""
    functions = {name: work.timed(arm, images, passes) for name, arm in found.items()}
    first = {name: seconds_of(*function) for name, function in functions.items()}
    seconds = interleaved(functions, rounds, warmup=0)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    count = len(images) * draws
    return [
        {
            "name": name,
            "images_per_second": count / median[name],
            "lowest": count / max(times),
            "highest": count / min(times),
            f"ratio_to_{BASELINE}": median[BASELINE] / median[name] if BASELINE in median else None,
            "first_call_seconds": first[name],
        }
        for name, times in seconds.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, choices=SIZES, help="image sides in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args(arguments)
    keep_freed_memory()  # as in runs; else all arms clear pages more than they compute
    torch.manual_seed(0)
    small = torch.randint(0, 256, (2, 3, 64, 64)) / 255
    about = machine("kornia", "torchvision") | {"rounds": options.rounds, "operations": len(PAPER)}
    about["largest_difference"] = work.largest_difference(small, arms(PAPER, compile_kornia=False)[0], "ours")
    results = Results(about, options.json)
    sweep(results, {size: SIZES[size] for size in options.sizes}, PAPER, options.rounds)
    show(f"The additive augmentation on {about['processor']}", results.rows)


if __name__ == "__main__":
    main()
