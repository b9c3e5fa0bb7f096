"""How a step's images/s change with the batch, the size of images, operations an image, threads and processes.

Each setting differs from the first in one thing. KD, the student's step and the search's are timed in turns in each of
them, so that a row's ratio is of one time; the first setting comes once more at the end, which tells how steady the
machine was. Images are random, and on the device. Several processes share the batch, and the threads, as in a run.

    python -m benchmarks.scaling --json benchmarks/results/scaling-cpu.json
    python -m benchmarks.scaling --device cuda --pair resnet34-resnet18 --json benchmarks/results/scaling-gpu.json
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

import torch

from benchmarks.results import Results, Row, machine, show
from benchmarks.timing import interleaved
from benchmarks.training.arms import KD, SEARCH, STEPS, own_arms
from benchmarks.training.floors import Rates, measure_rates
from benchmarks.training.measure import Effort, measure_pair
from benchmarks.training.pairs import PAIRS, SECOND_CROPS, Pair, Precision, open_session

BATCHES = {"digits": (16, 256, 1024), "resnet34-resnet18": (64, 128, 512)}
SIDES = {"digits": (16, 64, 128), "resnet34-resnet18": (128, 288, 384)}
"""Of the pairs that this is for; of images, in pixels. Besides those of the presets, as all that follows."""
OPERATIONS, PROCESSES = (1, 2, 8), (2, 4, 8)
FIRST = "the preset's"
IMAGES = ("--data.name", "synthetic", "--data.classes", "10", "--data.resize", "null")
TURN = 4  # steps that several processes are timed over
COLUMNS = ("step", "images_per_second", "lowest", "highest", "ratio_to_kd", "step_mebibytes")


@dataclass(frozen=True)
class Setting:
    """What differs from the first one.

    Attributes:
        name: for people.
        flags: of the configuration.
        threads: of torch, over all processes; on a GPU they matter little.
        processes: that take a step together.
    """

    name: str
    flags: tuple[str, ...]
    threads: int
    processes: int = 1


def settings(pair: str, threads: int, processes: int) -> list[Setting]:
    """All of a pair, the first of them at the end once more.

    Args:
        pair: a key of `BATCHES`.
        threads: of torch.
        processes: at most.
    """
    first = Setting(FIRST, IMAGES, threads)
    changes = {
        **{f"batch: {one}": ("--data.batch_size", one) for one in BATCHES[pair]},
        **{f"pixels: {one}": ("--data.image_size", one) for one in SIDES[pair]},
        **{f"operations: {one}": ("--policy.operations_per_image", one) for one in OPERATIONS},
    }
    changed = [Setting(name, (*IMAGES, flag, str(value)), threads) for name, (flag, value) in changes.items()]
    several = [Setting(f"processes: {one}", IMAGES, threads, one) for one in PROCESSES if one <= processes]
    single = [Setting("threads: 1", IMAGES, 1)] if threads > 1 else []
    return [first, *changed, *single, *several, first]


def rows_of(setting: Setting, options: argparse.Namespace, rates: Rates) -> list[Row]:
    """A row for each step."""
    if setting.processes > 1:
        rows = _of_processes(setting, options)
    else:
        torch.set_num_threads(setting.threads)
        effort = Effort(options.rounds, options.seconds, workers=0)
        device, precision = torch.device(options.device), _precision(options.device)
        rows = measure_pair(_pair(options.pair), precision, device, setting.flags, rates, effort, STEPS)
    return [{"setting": setting.name} | {name: row[name] for name in (*COLUMNS, "note") if name in row} for row in rows]


def _of_processes(setting: Setting, options: argparse.Namespace) -> list[Row]:
    """The same by a launcher, whose first process prints the rows."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(setting.processes)]
    given = {"pair": options.pair, "device": options.device, "rounds": options.rounds, "threads": setting.threads}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    answer = subprocess.run(
        [sys.executable, *launcher, "-m", "benchmarks.scaling", *words],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": str(options.device == "cpu").lower()},
        capture_output=True,
        text=True,
    )
    if answer.returncode != 0:
        return [{"note": f"failed: {answer.stderr.strip()[-300:]}"}]
    return json.loads(answer.stdout.strip().splitlines()[-1])


def rows_together(options: argparse.Namespace, processes: int) -> list[Row]:
    """A row for each step, which all processes take, each on its share of the batch; in each of them."""
    torch.set_num_threads(max(1, options.threads // processes))
    pair, precision, device = _pair(options.pair), _precision(options.device), torch.device(options.device)
    with (
        closing(open_session(pair, precision, device, IMAGES)) as tst,
        closing(open_session(pair, precision, device, [*IMAGES, *SECOND_CROPS])) as kd,
        ExitStack() as stack,
    ):
        arms = {arm.name: arm for arm in own_arms(kd, tst) if arm.key in STEPS}
        streams = {name: stack.enter_context(closing(arm.batches())) for name, arm in arms.items()}

        def turn(name: str, _: object) -> None:
            for batch in islice(streams[name], TURN):
                arms[name].step(batch)

        seconds = interleaved({name: (lambda: None, partial(turn, name)) for name in arms}, options.rounds)
    images = {name: TURN * processes * arm.images for name, arm in arms.items()}
    rates = {name: sorted(images[name] / one for one in seconds[name]) for name in arms}
    return [
        {"step": name, "images_per_second": median(found), "lowest": found[0], "highest": found[-1]}
        | ({} if name == SEARCH else {"ratio_to_kd": median(found) / median(rates[KD])})
        for name, found in rates.items()
    ]


def _pair(preset: str) -> Pair:
    return next(pair for pair in PAIRS if pair.preset == preset)


def _precision(device: str) -> Precision:
    return Precision("bf16" if device == "cuda" else "no", channels_last=True)


def read(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", choices=BATCHES, default="digits")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="of torch, over all processes")
    parser.add_argument("--seconds", type=float, default=0.2, help="of each turn, at least")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the rows here")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all settings, print the table, write JSON; or, as one process of several, measure with the others."""
    options = read(arguments)
    if (together := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        rows = rows_together(options, together)
        if os.environ["RANK"] == "0":
            print(json.dumps(rows), flush=True)
        return
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    rates = measure_rates(device, _precision(options.device).dtype)
    processes = torch.cuda.device_count() if options.device == "cuda" else os.cpu_count() or 1
    results = Results(machine() | {"pair": options.pair, "rounds": options.rounds} | rates.about, options.json)
    for setting in settings(options.pair, options.threads, processes):
        for row in rows_of(setting, options, rates):
            results.add(row)
    show(f"Steps of {options.pair}", results.rows)


if __name__ == "__main__":
    main()
