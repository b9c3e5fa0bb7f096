"""KD, the untrained policy and TST on CIFAR, several seeds, runs side by side, in parts of minutes that go on.

    python -m benchmarks.comparison --cifar FOLDER --json benchmarks/results/compare-cifar10-gpu.json
    python -m benchmarks.comparison --cifar FOLDER --json FILE --jobs 2 --student_training.epochs 9    # other settings

The folder is CIFAR-10 as class folders (CIFAR-100 with --data.name cifar100). The first run is the teacher's, which is
trained unless --teacher.checkpoint is given. Further settings are those of `tst-fast compare`. Results are written as
they come; when the time is up, all runs stop with a checkpoint, and the same command goes on with them.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import machine, write_whole
from tst_fast.commands.paired import agreement, scores_of, summary

EPOCHS, SEARCH_AT, SEARCH_EPOCHS = 60, [27, 40], 5
RECIPE = (
    *("--config", "resnet56-resnet20", "--data.name", "cifar10", "--arms", "KD", "KD, untrained policy", "TST"),
    *("--teacher_training.epochs", str(EPOCHS), "--teacher_training.optimizer.schedule", "one_cycle"),
    *("--student_training.epochs", str(EPOCHS), "--student_training.optimizer.schedule", "one_cycle"),
    *("--policy.gates", "straight_through", "--policy.shared_draw", "false", "--policy.learning_rate", "0.2"),
    *("--policy.search_at", str(SEARCH_AT), "--policy.search_epochs", str(SEARCH_EPOCHS), "--evaluate_every", "20"),
)
"""The preset's pair on a shorter schedule; the search waits for nearly half of the epochs, as it did on CPUs."""
LOOK, PATIENCE = 2.0, 60.0
"""Seconds between two looks at what there is, and for which a comparison that was stopped may write checkpoints."""


def read(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The command line, and the settings that `compare` is to be given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True, help="CIFAR as class folders: train/CLASS/, test/CLASS/")
    parser.add_argument("--json", type=Path, required=True, help="write the result here")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/comparison"), help="of the runs, which go on from there"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=9, help="runs side by side")
    parser.add_argument("--minutes", type=float, default=8, help="after which all stops, to go on another time")
    return parser.parse_known_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run as far as the time goes; exit status 0 once all is there, 75 (try again) if the time was up before."""
    begin = time.monotonic()
    options, settings = read(arguments)
    command = ["compare", *RECIPE, *settings, "--data.root", str(options.cifar), "--seeds", str(options.seeds)]
    environment = dict(os.environ)
    if torch.cuda.is_available():
        environment.setdefault("ACCELERATE_MIXED_PRECISION", "bf16")
    about = machine("torchvision", "triton")
    process = subprocess.Popen(
        [sys.executable, "-m", "tst_fast", *command, "--jobs", str(options.jobs), "--folder", str(options.folder)],
        env=environment,
        start_new_session=True,  # Ctrl-C comes here, and is passed on once
    )
    try:
        while process.poll() is None and time.monotonic() - begin < 60 * options.minutes:
            write(options, about, environment)
            time.sleep(LOOK)
    finally:
        stop(process)
        is_complete = write(options, about, environment)
    if process.returncode not in (0, 128 + signal.SIGTERM):
        sys.exit(f"error: the comparison ended with status {process.returncode}; what it found so far is written")
    if not is_complete:
        print(f"the time is up: the same command goes on with the runs in {options.folder}", file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL)


def stop(process: subprocess.Popen) -> None:
    """Ask a comparison to stop with checkpoints, unless it has ended."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()  # its runs stop by themselves
        process.wait()


def write(options: argparse.Namespace, about: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """Write what compare.json holds of the seeds that every arm has been run with; whether these are all.

    Of several choices of training images, a seed counts that has been run with each.
    """
    file = options.folder / "compare.json"
    if not file.exists():
        return False
    found = json.loads(file.read_text(encoding="utf-8"))
    done = [{(run["seed"], run["fraction_seed"]) for run in runs} for runs in found["runs"].values()]
    seeds = [
        seed
        for seed in found["plan"]["seeds"]
        if all((seed, choice) in runs for runs in done for choice in found["plan"]["fraction_seeds"])
    ]
    if seeds:
        write_whole(options.json, {**about, **result_of(found, seeds), "precision": precision(environment)})
    return seeds == found["plan"]["seeds"]


def result_of(found: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    """A page of results.

    Args:
        found: what compare.json holds.
        seeds: those that every arm has been run with.
    """
    metric = found["metric"]
    arms = {}
    for arm, runs in found["runs"].items():
        whole = [run for run in runs if run["seed"] in seeds]
        arms[arm] = {name: summary(values) for name, values in scores_of(whole, metric).items()} | learned(whole)
    first = next(iter(found["runs"].values()))[0]
    return {
        "score": f"{metric} of the last epoch on the test images",
        "seeds": list(seeds),
        "planned_seeds": found["plan"]["seeds"],
        "teacher": first["teacher"][metric] if first["teacher"] else None,
        "minutes_of_runs": sum(run["wall_seconds"] for runs in found["runs"].values() for run in runs) / 60,
        "arms": arms,
    }


def learned(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How far the policies of an arm's seeds agree, and each probability's mean; nothing where none was trained."""
    policies = [run["probabilities"] for run in runs]
    if not all(len(set(policy.values())) > 1 for policy in policies):
        return {}
    means = {name: statistics.fmean(policy[name] for policy in policies) for name in policies[0]}
    return {"agreement": agreement([list(policy.values()) for policy in policies]), "probabilities": means}


def precision(environment: Mapping[str, str]) -> str:
    """Of the networks, as Accelerate is told."""
    return environment.get("ACCELERATE_MIXED_PRECISION", "no").replace("no", "float32")


if __name__ == "__main__":
    main()
