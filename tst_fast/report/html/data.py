"""Folders of runs and comparisons, read for the report; also those of killed runs."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tst_fast.errors import UserError
from tst_fast.report.metrics import Evaluated, Event, PassEnded, PolicyMoved, StepsTaken, read_metrics

COMPARISON_VERSION = 2
"""Version of compare.json."""

Kind = TypeVar("Kind", bound=Event)


@dataclass(frozen=True)
class OperationTrajectory:
    """One operation over the search.

    Attributes:
        probabilities: 0..1, at each of the trajectory's steps.
        levels: its strength, -1..1, likewise; empty for an operation without one.
        magnitudes: the levels in `unit`.
        unit: empty if there is none.
        signed: whether the magnitude's sign is drawn at random.
    """

    probabilities: list[float]
    levels: list[float]
    magnitudes: list[float]
    unit: str
    signed: bool


@dataclass(frozen=True)
class PolicyTrajectory:
    """The policy over the search.

    Attributes:
        steps: of the policy, after each pass in which it learned; 0 is before the first.
        operations: by name.
    """

    steps: list[int]
    operations: dict[str, OperationTrajectory]


@dataclass(frozen=True)
class Run:
    """The content of a run's folder.

    Attributes:
        folder: its path.
        label: its unique name on the page.
        events: of metrics.jsonl.
        config_text: config.yaml as text; empty if there is none.
        config: the same, parsed.
        result: result.json; None of an unfinished run.
        policy: policy.json; None of an unfinished run.
    """

    folder: Path
    label: str
    events: list[Event]
    config_text: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    policy: dict[str, Any] | None = None

    def of(self, kind: type[Kind], stage: str | None = None) -> list[Kind]:
        """Events of a kind, and of a stage if one is given."""
        return [event for event in self.events if isinstance(event, kind) and stage in (None, event.stage)]

    def evaluations(self, role: str) -> list[Evaluated]:
        """Of the teacher or the student, in order."""
        return [event for event in self.of(Evaluated) if event.role == role]

    def headline(self) -> str | None:
        """The name of the headline metric; None before the first evaluation."""
        if self.result:
            return self.result["metric"]
        return next((name for event in self.of(Evaluated) for name in event.scores), None)

    def rates(self, stage: str) -> list[float]:
        """Throughput in images/s of each pass of a stage."""
        return [event.images_per_second for event in self.of(PassEnded, stage)]

    def policy_trajectory(self) -> PolicyTrajectory | None:
        """The policy before and after each pass in which it learned; None if it never did.

        The policy before the first pass is in policy.json only: without it, the trajectory begins after that pass.
        """
        moves = self.of(PolicyMoved)
        if not moves:
            return None
        history = (self.policy or {}).get("history", {})
        operations = {name: self._operation(name, moves, history) for name in moves[0].operations}
        steps = _steps_of_policy(self.events)
        longest = max(len(trajectory.probabilities) for trajectory in operations.values())
        return PolicyTrajectory([0, *steps] if longest > len(steps) else steps, operations)

    def _operation(self, name: str, moves: Sequence[PolicyMoved], history: Mapping[str, Any]) -> OperationTrajectory:
        values: dict[str, list[float]] = {}
        for key in ("probability", "level", "magnitude"):
            values[key] = [move.operations[name][key] for move in moves if move.operations[name][key] is not None]  # type: ignore[misc]
            before = history.get(name, {}).get(key, [])
            if len(before) == len(moves) + 1:
                values[key] = [before[0], *values[key]]
        unit, signed = self._unit(name)
        return OperationTrajectory(values["probability"], values["level"], values["magnitude"], unit, signed)

    def _unit(self, name: str) -> tuple[str, bool]:
        """The unit of an operation's magnitude, and whether its sign is drawn at random."""
        for row in (self.policy or {}).get("operations", []):
            if row["operation"] == name:
                return row["unit"], row["signed"]
        from tst_kernels.operations import OPERATIONS  # imports torch: only for unfinished runs

        known = OPERATIONS.get(name)
        signed = self.config.get("policy", {}).get("sign") == "random"
        return (known.unit, known.signed and signed) if known else ("", False)


@dataclass(frozen=True)
class Comparison:
    """The folder of a comparison by `tst-fast compare`.

    Attributes:
        folder: its path.
        label: its name on the page.
        content: compare.json.
        runs: of each arm, those whose folders exist.
    """

    folder: Path
    label: str
    content: dict[str, Any]
    runs: dict[str, list[Run]]


def read_folders(folders: Sequence[Path]) -> tuple[list[Run], list[Comparison]]:
    """Read the folders of runs and comparisons.

    Raises:
        UserError: a folder is neither, or was left by another version of the program.
    """
    runs, comparisons = [], []
    for folder, label in zip(folders, _labels(folders), strict=True):
        if (folder / "compare.json").exists():
            comparisons.append(read_comparison(folder, label, prefix=f"{label}: " if len(folders) > 1 else ""))
        else:
            runs.append(read_run(folder, label))
    return runs, comparisons


def read_run(folder: Path, label: str) -> Run:
    """Read a run's folder.

    Raises:
        UserError: it is none, or was left by another version of the program.
    """
    if not (folder / "metrics.jsonl").is_file():
        raise UserError(f"{folder} is no run's folder, nor one of `tst-fast compare`: it has no metrics.jsonl")
    text = _parsed(folder / "config.yaml", str) or ""
    config = _parsed(folder / "config.yaml", yaml.safe_load)
    return Run(
        folder,
        label,
        read_metrics(folder / "metrics.jsonl"),
        text,
        config if isinstance(config, dict) else {},
        _parsed(folder / "result.json", _json_object),
        _parsed(folder / "policy.json", _json_object),
    )


def read_comparison(folder: Path, label: str, prefix: str = "") -> Comparison:
    """Read the folder of a comparison; the labels of its runs begin with `prefix`.

    Raises:
        UserError: compare.json cannot be read, or another version of the program wrote it.
    """
    content = _parsed(folder / "compare.json", _json_object)
    if content is None or content.get("version") != COMPARISON_VERSION:
        raise UserError(
            f"{folder / 'compare.json'} is no comparison that this program knows (version {COMPARISON_VERSION}): run "
            "`tst-fast compare` again"
        )
    runs = {}
    for arm, results in content["runs"].items():
        places = [(folder / result["folder"], result) for result in results if "folder" in result]
        runs[arm] = [
            read_run(place, f"{prefix}{arm}, seed {result['seed']}{_of_images(content, result)}")
            for place, result in places
            if (place / "metrics.jsonl").is_file()
        ]
    return Comparison(folder, label, content, runs)


def _of_images(content: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    return f", images {result['fraction_seed']}" if len(content["plan"]["fraction_seeds"]) > 1 else ""


def _labels(folders: Sequence[Path]) -> list[str]:
    """The shortest trailing parts of the paths that are unique."""
    parts = [Path(os.path.realpath(folder)).parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(one[-length:]) for one in parts]
        if len(set(labels)) == len(labels):
            return labels
    raise UserError("a folder is given twice")


def _steps_of_policy(events: Sequence[Event]) -> list[int]:
    """After each pass in which the policy learned, the total number of its steps so far."""
    counted: dict[int, int] = {}
    for event in events:
        if isinstance(event, StepsTaken | PassEnded):
            counted[event.pass_index] = event.global_step
    total, steps = 0, []
    for event in events:
        if isinstance(event, PolicyMoved):
            total += event.global_step - counted.get(event.pass_index - 1, 0)
            steps.append(total)
    return steps


def _json_object(text: str) -> dict[str, Any] | None:
    value = json.loads(text)
    return value if isinstance(value, dict) else None


def _parsed(file: Path, parse: Callable[[str], Any]) -> Any:
    """The parsed content of a file; None if it is missing or, of a killed run, incomplete."""
    try:
        return parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
