"""`tst-fast compare`: is it the policy that helps? Four ways to train one student, over several seeds."""

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console
from rich.table import Table

from tst_fast.config import reading
from tst_fast.config.schema import Config, replace
from tst_fast.errors import UserError
from tst_fast.run.start import errors_as_messages, new_folder, open_run, start_accelerator

ARMS: dict[str, dict[str, Any]] = {
    "student alone": {"distillation__teacher": False},
    "KD": {"distillation__augment": False},
    "KD, untrained policy": {"policy__search": "none"},
    "TST": {},
}
"""What each arm changes of the configuration. All take the same number of steps over the same originals."""

NEURAL_PRIOR: dict[str, dict[str, Any]] = {"TST, neural prior": {"policy__prior": "encoder"}}
"""The arm that `--neural_prior` adds."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train a teacher once, then each arm with each seed; print and write what came out."""
    with errors_as_messages():
        parser = reading.make_parser(
            "tst-fast compare", "Student alone, KD, KD with the untrained policy, and TST: one teacher, one budget."
        )
        parser.add_argument("--seeds", type=int, default=5, help="how many seeds, counted up from --seed")
        parser.add_argument("--neural_prior", action="store_true", help="one arm more: TST with --policy.prior encoder")
        reading.add_config(parser)
        config, others = reading.parse(parser, sys.argv[1:] if arguments is None else arguments)
        if others.seeds < 1:
            raise UserError(f"--seeds is {others.seeds}: it must be 1 or more")
        accelerator = start_accelerator()
        folder = new_folder(config, prefix="compare-")
        arms = ARMS | NEURAL_PRIOR if others.neural_prior else ARMS
        compare(config, others.seeds, folder, accelerator, arms)
        accelerator.end_training()


def compare(
    config: Config,
    seeds: int,
    folder: Path,
    accelerator: Accelerator,
    arms: Mapping[str, dict[str, Any]] = ARMS,
) -> dict[str, Any]:
    """Run every arm with every seed, in `folder`; returns what is written to `compare.json`.

    Args:
        config: what the TST arm does; the others leave something out.
        seeds: how many; the first is `config.seed`.
        folder: each run gets a folder inside.
        accelerator: shared by all runs.
        arms: what each changes of the configuration.
    """
    console = Console(quiet=not accelerator.is_main_process, highlight=False)
    if not config.teacher.trained:
        teaching = replace(config, student_training__epochs=0, policy__search="none")
        result = _run(teaching, folder / "teacher", accelerator)
        config = replace(config, teacher__checkpoint=folder / "teacher" / "teacher.safetensors")
        console.print(f"teacher: {100 * result['teacher'][result['metric']]:.2f} %")
    results: dict[str, list[dict[str, Any]]] = {arm: [] for arm in arms}
    for seed in range(config.seed, config.seed + seeds):
        for arm, changes in arms.items():
            name = f"{arm.replace(',', '').replace(' ', '-').lower()}-seed{seed}"
            result = _run(replace(config, seed=seed, **changes), folder / name, accelerator)
            results[arm].append(result)
            console.print(f"seed {seed}, {arm}: {100 * result['student'][result['metric']]:.2f} %")
    summary = {arm: _summary(runs) for arm, runs in results.items()}
    if accelerator.is_main_process:
        (folder / "compare.json").write_text(json.dumps(summary, indent=2) + "\n")
    console.print(_table(summary, f"{config.name}: {result['metric']} on test images in %, {seeds} seeds"))
    console.print(f"everything is in {folder}")
    return summary


def _run(config: Config, folder: Path, accelerator: Accelerator) -> dict[str, Any]:
    with closing(open_run(config, folder, accelerator, quiet=True)) as run:
        return run.run()


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and sample standard deviation over seeds, of the last epoch's score and of the best one's."""
    summary: dict[str, Any] = {}
    for name, key in (("last", "student"), ("best", "student_best")):
        values = [run[key][run["metric"]] for run in runs]
        deviation = statistics.stdev(values) if len(values) > 1 else None
        summary[name] = {"mean": statistics.mean(values), "standard_deviation": deviation, "runs": values}
    summary["seconds"] = [run["wall_seconds"] for run in runs]
    return summary


def _table(summary: dict[str, Any], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("last epoch", "best epoch"):
        table.add_column(name, justify="right")
    for arm, values in summary.items():
        table.add_row(arm, *(_percent(values[name]) for name in ("last", "best")))
    return table


def _percent(values: dict[str, Any]) -> str:
    deviation = values["standard_deviation"]
    return f"{100 * values['mean']:.2f}" + ("" if deviation is None else f" ± {100 * deviation:.2f}")
