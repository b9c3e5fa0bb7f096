"""What a step costs beside plain KD: images/s, memory, the time of each stage, and the floors of arithmetic and memory.

A student's step shows both networks an augmented and a plain half; KD shows them as many images, all of them plain. A
search step is the policy's update: both networks on augmented images, and gradients through them and the augmentation.
Steps are those of a run of the preset; networks have random weights. One batch on the device shows the step alone, the
loader's the whole. Peers: KD whose batches are, for a half, augmented by kornia, or by torchvision's RandAugment in
worker processes. Steps are timed in turns, in interleaved rounds; medians.

    python -m benchmarks.training --json benchmarks/results/training-cpu.json
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.loaders import DALI
from benchmarks.results import Results, Row, machine, show
from benchmarks.training.floors import measure_rates
from benchmarks.training.measure import Effort, keys_of, measure_pair
from benchmarks.training.pairs import ON_A_CPU, PAIRS, Precision, data_flags
from benchmarks.training.stages import STAGES

SHOWN = ("step", "data", "images_per_second", "ratio_to_kd", "milliseconds", "note")
"""In the terminal, with the stages; the file has the others."""


def shown(row: Row) -> Row:
    """A row's rate, and its stages in one cell."""
    stages = {name: row[f"{name}_ms"] for name in (*STAGES, "rest") if f"{name}_ms" in row}
    return {name: row[name] for name in SHOWN if name in row} | {"of_these": stages or None}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure on a CPU, print the tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", nargs="+", default=ON_A_CPU, choices=[pair.preset for pair in PAIRS])
    parser.add_argument("--images", type=Path, help="a folder of JPEGs; else they are made from two photographs")
    parser.add_argument("--cifar", type=Path, help="a folder that holds CIFAR-10; else tiles of the two photographs")
    parser.add_argument("--threads", type=int, default=2, help="of torch, and torchvision's workers")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each turn is, at least")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device, precision = torch.device("cpu"), Precision()
    rates = measure_rates(device, precision.dtype)
    about = machine("torchvision", "kornia", *DALI) | {"rounds": options.rounds} | rates.about
    results = Results(about, options.json)
    effort = Effort(options.rounds, options.seconds, options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        for pair in (pair for pair in PAIRS if pair.preset in options.pairs):
            given = {"photographs": options.images, "tiles": options.cifar}
            flags = [*data_flags(pair, given, Path(scratch)), "--data.batch_size", str(pair.batch)]
            rows = measure_pair(pair, precision, device, flags, rates, effort, keys_of(pair))
            for row in rows:
                results.add(row)
            show(f"Steps of {pair.preset}", [shown(row) for row in rows])


if __name__ == "__main__":
    main()
