"""A comparison: every arm with every seed, what came out, and the tables that say so.

What is compared, over which seeds, and which difference is the question are written to compare.json before anything is
run; each result is added as it comes. Runs that are in the folder already are found or continued.
"""

import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, product
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console
from rich.table import Table

from tst_fast.commands.arms import PAIRS, TST, Changes
from tst_fast.commands.paired import agreement, paired_difference, scores_of, summary
from tst_fast.commands.parallel_runs import Planned, run_in_parallel
from tst_fast.commands.resuming import require_the_same, result_of
from tst_fast.commands.schedule import TEACHER, Schedule
from tst_fast.config.schema import Config, replace
from tst_fast.errors import Interrupted
from tst_fast.models.evaluation import with_preparation
from tst_fast.policy.file import PolicyFile
from tst_fast.report.comparison_tables import arm_table, difference_table
from tst_fast.report.console import say
from tst_fast.report.html.observer import report_at_the_end
from tst_fast.run.session import with_weights
from tst_pipelines.writing import write_text_whole

VERSION = 2
Repeat = tuple[int, int]
"""The choice of training images, and the seed: what arms that are compared share."""


@contextmanager
def going_on_by(command: str, accelerator: Accelerator) -> Iterator[None]:
    """Where a signal stops a run, say what goes on with all of them, in place of with that run alone."""
    try:
        yield
    except Interrupted as stopped:
        name = signal.Signals(stopped.signal).name
        said = f"{name}: stopped; {command} goes on" if accelerator.is_main_process else ""
        raise Interrupted(stopped.signal, said) from None


class Comparison:
    """Every arm with every seed, in one folder.

    Args:
        config: what the TST arm does; the others leave something out.
        arms: by name.
        seeds: how many; the first is `config.seed`.
        fraction_seeds: how many choices of training images; the first is `config.data.fraction_seed`.
        folder: each run gets a folder inside; compare.json lies beside them.
        accelerator: shared by all runs.
        jobs: runs at a time; above 1, each has a process of its own.
    """

    def __init__(
        self,
        config: Config,
        arms: Mapping[str, Changes],
        seeds: int,
        fraction_seeds: int,
        folder: Path,
        accelerator: Accelerator,
        jobs: int = 1,
    ) -> None:
        self.config = with_preparation(config)  # else an arm without a teacher would see other test images
        self.arms, self.folder, self.accelerator, self.jobs = arms, folder, accelerator, jobs
        self.seeds = list(range(config.seed, config.seed + seeds))
        first = config.data.fraction_seed
        self.fraction_seeds = list(range(first, first + fraction_seeds))
        self.pairs = [pair for pair in PAIRS if set(pair) <= set(arms)]
        self.results: dict[str, dict[Repeat, dict[str, Any]]] = {arm: {} for arm in arms}
        self.teachers: dict[int, dict[str, float] | None] = {}
        teachers = 0 if config.teacher.trained else fraction_seeds
        self.schedule = Schedule(list(arms), seeds * fraction_seeds, teachers, jobs)
        self.console = Console(quiet=not accelerator.is_main_process, highlight=False)

    def run(self) -> dict[str, Any]:
        """Run all; returns what compare.json holds in the end."""
        for run in (*self.teachers_planned(), *self.students_planned()):
            require_the_same(run.config, run.folder)  # before what was found is written over
        self._write()
        for run, result in self._results(self.teachers_planned()):
            self.teachers[run.config.data.fraction_seed] = result["teacher"]
            self.console.print(f"{run.folder.name}: {100 * result['teacher'][result['metric']]:.2f} %")
        for run, result in self._results(self.students_planned()):
            repeat = run.config.data.fraction_seed, run.config.seed
            self.results[run.title][repeat] = self._entry(run, result)
            self._write()
            self.console.print(f"{run.folder.name}: {100 * result['student'][result['metric']]:.2f} %")
        content = self._content()
        runs = len(self.seeds) * len(self.fraction_seeds)
        title = f"{self.config.name}: {content['metric']} on test images, {runs} runs each"
        self.console.print(_table(title, *arm_table(content)))
        if content["differences"]:
            self.console.print(_table("Differences by seed, last epoch", *difference_table(content)))
        if content["agreement"] is not None:
            self.console.print(f"policies of different seeds agree to {content['agreement']:.2f} (mean correlation)")
        say(self.console, f"everything is in {self.folder}")
        if self.accelerator.is_main_process:
            say(self.console, report_at_the_end(self.folder))
        return content

    def teachers_planned(self) -> list[Planned]:
        """One for all arms and seeds on the same images, where none is given."""
        if self.config.teacher.trained:
            return []
        no_student = {"student_training__epochs": 0, "student_training__optimizer__warmup_epochs": 0}
        teaching = replace(self.config, **no_student, policy__search="none")
        configs = [replace(teaching, data__fraction_seed=seed) for seed in self.fraction_seeds]
        return [Planned(TEACHER, config, self.folder / self._name(TEACHER, config)) for config in configs]

    def students_planned(self) -> list[Planned]:
        """Every arm with every seed, on every choice of images."""
        planned = []
        for fraction_seed, seed, (arm, changes) in product(self.fraction_seeds, self.seeds, self.arms.items()):
            config = replace(self.config, data__fraction_seed=fraction_seed)
            if not config.teacher.trained:
                teacher = self.folder / self._name(TEACHER, config) / "teacher.safetensors"
                config = with_weights(config, "teacher", teacher)
            config = replace(config, seed=seed, **changes)
            name = f"{arm.replace(',', '').replace(' ', '-').lower()}-seed{seed}"
            planned.append(Planned(arm, config, self.folder / self._name(name, config)))
        return planned

    def _name(self, name: str, config: Config) -> str:
        """Of a folder; with the choice of images where there are several."""
        return f"{name}-images{config.data.fraction_seed}" if len(self.fraction_seeds) > 1 else name

    def _results(self, planned: Sequence[Planned]) -> Iterator[tuple[Planned, dict[str, Any]]]:
        """Of each run: first of those that are found, then in order, or, of several at a time, as they end."""
        found = [run for run in planned if run.has_ended]
        left = [run for run in planned if run not in found]
        for _ in found:
            self.schedule.begin()
        in_turn = run_in_parallel(left, self.jobs, self._say) if self.jobs > 1 else self._one_by_one(left)
        for run in chain(found, in_turn):
            result = result_of(run.config, run.folder, self.accelerator)
            self.schedule.took(run.title, result["wall_seconds"])
            yield run, result

    def _one_by_one(self, planned: Sequence[Planned]) -> Iterator[Planned]:
        for run in planned:
            self._say(run)
            yield run

    def _say(self, run: Planned) -> None:
        """That it begins."""
        number, runs = self.schedule.begin(), self.schedule.runs
        say(self.console, f"run {number:,} of {runs:,}: {run.title}, seed {run.config.seed}{self.schedule}")

    def _entry(self, run: Planned, result: Mapping[str, Any]) -> dict[str, Any]:
        """What compare.json holds of a run."""
        config, policy = run.config, run.folder / "policy.json"
        learned = config.distillation.has_policy and policy.exists()
        rows = PolicyFile.read(policy).operations if learned else []
        return {
            **{key: result[key] for key in ("metric", "teacher", "student", "student_best", "wall_seconds")},
            "folder": run.folder.name,
            "seed": config.seed,
            "fraction_seed": config.data.fraction_seed,
            "probabilities": {row.operation: row.probability for row in rows},
        }

    def _content(self) -> dict[str, Any]:
        """What compare.json holds: the plan, and what is known so far."""
        hypothesis = f"{self.pairs[0][0]} is above {self.pairs[0][1]}" if self.pairs else None
        plan = {
            "config": self.config.name,
            "arms": {
                arm: {"changes": changes, "images": replace(self.config, **changes).distillation.views}
                for arm, changes in self.arms.items()
            },
            "seeds": self.seeds,
            "fraction_seeds": self.fraction_seeds,
            "hypothesis": hypothesis,
            "explored": [list(pair) for pair in self.pairs[1:]],
        }
        repeats = list(product(self.fraction_seeds, self.seeds))
        results = {arm: [runs[one] for one in repeats if one in runs] for arm, runs in self.results.items()}
        metric = next((runs[0]["metric"] for runs in results.values() if runs), None)
        scores = {arm: scores_of(runs, metric) for arm, runs in results.items() if metric is not None and runs}
        differences = []
        for one, other in self.pairs:
            shared = [repeat for repeat in repeats if repeat in self.results[one] and repeat in self.results[other]]
            if shared:
                ours, theirs = ([self.results[arm][both]["student"][metric] for both in shared] for arm in (one, other))
                differences.append({"arms": [one, other], **paired_difference(ours, theirs)})
        learned = [list(run["probabilities"].values()) for run in results.get(TST, [])]
        return {
            "version": VERSION,
            "plan": plan,
            "metric": metric,
            "teachers": self.teachers,
            "arms": {arm: {name: summary(values) for name, values in of_arm.items()} for arm, of_arm in scores.items()},
            "differences": differences,
            "agreement": agreement(learned),
            "runs": results,
        }

    def _write(self) -> None:
        if self.accelerator.is_main_process:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text_whole(self.folder / "compare.json", json.dumps(self._content(), indent=2) + "\n")


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """All but the last column, that of every run."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(header[:-1]):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row[:-1])
    return table
