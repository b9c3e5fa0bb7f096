"""A pair's steps, timed in interleaved rounds: images/s, stages, memory, floors."""

import math
import statistics
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

import torch

from benchmarks.operators import work_of
from benchmarks.results import Row
from benchmarks.timing import interleaved, synchronise
from benchmarks.training.arms import KD, KEPT, OWN, PEERS, SEARCH, Arm, Key, own_arms, peers_arms
from benchmarks.training.floors import Rates
from benchmarks.training.memory import step_mebibytes
from benchmarks.training.pairs import SECOND_CROPS, Pair, Precision, open_session
from benchmarks.training.stages import STAGES, watched
from tst_fast.run.stopwatch import Stopwatch
from tst_pipelines import Batch


@dataclass(frozen=True)
class Effort:
    """How long is measured.

    Attributes:
        rounds: in each, every arm has its turn.
        seconds: of a turn, at least.
        workers: processes in which torchvision augments.
    """

    rounds: int
    seconds: float
    workers: int


@dataclass
class _Turns:
    """An arm's turns, of as many steps each, and the seconds of their stages."""

    arm: Arm
    stopwatch: Stopwatch
    batches: Generator[Batch]
    steps: int = 1
    stages: list[dict[str, float]] = field(default_factory=list)

    def step(self) -> None:
        """One."""
        with self.stopwatch.measure("data"):
            batch = next(self.batches)
        self.arm.step(batch)

    def prepare(self, device: torch.device, seconds: float) -> float | None:
        """Some steps to warm up, and how many make a turn; the memory of one of them, in mebibytes."""
        self.step()
        mebibytes = step_mebibytes(self.step, device)
        synchronise()
        start = time.perf_counter()
        self.step()
        synchronise()
        self.steps = max(1, math.ceil(seconds / (time.perf_counter() - start)))
        return mebibytes

    def settle(self) -> None:
        """What is done before the clock starts."""
        for _ in range(self.arm.settle):
            next(self.batches)
        self.stopwatch.read()

    def take(self, _: object = None) -> None:
        """One turn."""
        for _ in range(self.steps):
            self.step()
        self.stages.append(self.stopwatch.read())

    def row(self, seconds: Sequence[float]) -> Row:
        """Rates and milliseconds of a step, medians over turns of so many seconds."""
        images, scale = self.steps * self.arm.images, 1e3 / self.steps
        milliseconds = scale * statistics.median(seconds)
        stages = {name: scale * statistics.median(one.get(name, 0.0) for one in self.stages) for name in STAGES}
        return {
            "images": self.arm.images,
            "images_per_second": images / statistics.median(seconds),
            "lowest": images / max(seconds),
            "highest": images / min(seconds),
            "milliseconds": milliseconds,
            **{f"{stage}_ms": value for stage, value in stages.items() if value},
            "rest_ms": milliseconds - sum(stages.values()),
        }


def keys_of(pair: Pair) -> tuple[Key, ...]:
    """Every arm that there is of a pair."""
    return OWN + PEERS * pair.is_recognition


def measure_pair(
    pair: Pair,
    precision: Precision,
    device: torch.device,
    flags: Sequence[str],
    rates: Rates,
    effort: Effort,
    keys: Sequence[Key],
) -> list[Row]:
    """A row for each arm of a pair.

    Args:
        pair: the networks.
        precision: how they compute.
        device: where.
        flags: of data and batch.
        rates: of this machine, for the floors.
        effort: how long.
        keys: the arms, some of `keys_of`.
    """
    with (
        closing(open_session(pair, precision, device, flags)) as tst,
        closing(open_session(pair, precision, device, [*flags, *SECOND_CROPS])) as kd,
    ):
        stopwatch = Stopwatch(device)
        with watched((kd, tst), stopwatch):
            arms = own_arms(kd, tst)
            if set(PEERS) & set(keys):
                arms += peers_arms(kd, stopwatch, effort.workers)
            chosen = [arm for arm in arms if arm.key in keys]
            rows = measure(chosen, stopwatch, device, rates, effort, counts=not precision.compiled)
        what = {"pair": pair.preset, "batch": tst.config.data.batch_size, **precision.columns}
    return [what | row for row in rows]


def measure(
    arms: Sequence[Arm], stopwatch: Stopwatch, device: torch.device, rates: Rates, effort: Effort, counts: bool = True
) -> list[Row]:
    """A row for each arm.

    Args:
        arms: of one pair.
        stopwatch: that their steps tell of their stages.
        device: where they run.
        rates: of this machine.
        effort: how long.
        counts: whether to count operations and bytes, which compilation hides.
    """
    with ExitStack() as stack:
        turns = {
            arm.key: _Turns(arm, stopwatch, stack.enter_context(closing(arm.batches())))
            for arm in arms
            if arm.missing is None
        }
        memory = {key: one.prepare(device, effort.seconds) for key, one in turns.items()}
        work = {key[0]: work_of(one.step) for key, one in turns.items() if counts and key[1] == KEPT}
        seconds = interleaved({key: (one.settle, one.take) for key, one in turns.items()}, effort.rounds, warmup=0)
    rows: dict[Key, Row] = {}
    for key, one in turns.items():
        rows[key] = one.row(seconds[key]) | {"step_mebibytes": memory[key]}
    for (name, data), row in rows.items():
        ceiling = rows.get((KD, data), rows[KD, KEPT])
        if name != SEARCH:
            row["ratio_to_kd"] = row["images_per_second"] / ceiling["images_per_second"]
        if name in work:
            row |= rates.columns(work[name], row["milliseconds"] / 1e3, row["images"])
    return [{"step": arm.name, "data": arm.data} | rows.get(arm.key, {"note": arm.missing}) for arm in arms]
