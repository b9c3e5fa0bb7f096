"""The steps of runs on this GPU, beside KD on as many images and other libraries; what the profiler sees in one."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.cases import Case, Setting
from benchmarks.peers import Unavailable
from benchmarks.results import Row
from benchmarks.timing import synchronise
from benchmarks.training.arms import STEPS, STUDENT, Key, own_arms
from benchmarks.training.floors import Rates, measure_rates
from benchmarks.training.measure import Effort, keys_of, measure_pair
from benchmarks.training.pairs import PAIRS, SECOND_CROPS, Pair, Precision, data_flags, open_session

BASE = Precision("bf16", channels_last=True)
VARIANTS = replace(BASE, mixed="no"), replace(BASE, channels_last=False), replace(BASE, compiled=True)
"""Each differs from the base in one thing; compilation, which takes a minute, comes last."""
ROUNDS, WORKERS = 3, 8
PROFILED = 3  # steps
TOP = 12  # kernels


def cases(setting: Setting, so_far: Sequence[Row]) -> Iterator[Case]:
    """A row for each arm of each pair, the main one first; then its trace, the kernels that take longest, variants."""
    measured = Measured(setting)
    for pair in PAIRS:
        yield from measured.cases(pair, BASE, keys_of(pair))
        if pair == PAIRS[0]:
            top: list[Row] = []
            yield Case({"step": f"trace of {STUDENT}", "pair": pair.preset}, partial(measured.trace, pair, top))
            for place in range(TOP):
                yield Case({"step": f"kernel {place + 1} by time"}, partial(_kernel, top, place))
    for precision in VARIANTS:
        yield from measured.cases(PAIRS[0], precision, STEPS)


class Measured:
    """The rows of pairs, all of one when the first of them is asked for.

    Args:
        setting: of the part.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.effort = Effort(ROUNDS, 2 * setting.seconds, WORKERS)
        self._scratch = TemporaryDirectory()
        self._rows: dict[tuple[Pair, Precision], dict[Key, Row]] = {}

    @cached_property
    def rates(self) -> Rates:
        """Of this GPU."""
        return measure_rates(self.setting.device, BASE.dtype)

    def cases(self, pair: Pair, precision: Precision, keys: Sequence[Key]) -> Iterator[Case]:
        """One for each arm."""
        for name, data in keys:
            what = {"pair": pair.preset, "step": name, "data": data, **precision.columns}
            yield Case(what, partial(self._row, pair, precision, keys, (name, data)))

    def _row(self, pair: Pair, precision: Precision, keys: Sequence[Key], key: Key) -> Row:
        here = pair, precision
        if here not in self._rows:
            self._rows[here] = {}  # once: what failed would fail again
            rates = self.rates if precision.dtype == BASE.dtype else measure_rates(self.setting.device, precision.dtype)
            device, flags = self.setting.device, self.flags(pair)
            rows = measure_pair(pair, precision, device, flags, rates, self.effort, keys)
            self._rows[here] = {(row["step"], row["data"]): row for row in rows}
        if key not in self._rows[here]:
            raise Unavailable("the pair was not measured: see its first row")
        return self._rows[here][key]

    def flags(self, pair: Pair) -> list[str]:
        """Of data; in a rehearsal, of as few and as small images as it says."""
        flags = [*data_flags(pair, {}, Path(self._scratch.name)), "--data.threads", str(WORKERS)]
        if self.setting.device.type == "cuda":
            return flags
        size = self.setting.sizes[0]
        side = ["--data.image_size", str(size), "--data.resize", str(size)] if pair.images == "photographs" else []
        return [*flags, *side, "--data.batch_size", str(self.setting.batch)]

    def trace(self, pair: Pair, top: list[Row]) -> Row:
        """Writes a trace of a student's steps for Chrome or Perfetto; fills `top` with the longest kernels."""
        device, flags = self.setting.device, self.flags(pair)
        with (
            closing(open_session(pair, BASE, device, flags)) as tst,
            closing(open_session(pair, BASE, device, [*flags, *SECOND_CROPS])) as kd,
        ):
            arm = next(one for one in own_arms(kd, tst) if one.name == STUDENT)
            batch = next(arm.batches())
            arm.step(batch)
            synchronise()
            on_gpu = device.type == "cuda"
            with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu) as profiler:
                for _ in range(PROFILED):
                    arm.step(batch)
                synchronise()
        file = self.setting.file.with_suffix(".trace.json.gz")
        profiler.export_chrome_trace(str(file))
        times = _self_times(profiler, on_gpu)
        total = sum(times.values())
        ranked = sorted(times.items(), key=lambda item: -item[1])[:TOP]
        top += [{"kernel": key[:80], "ms_per_step": t / 1e3 / PROFILED, "share": t / total} for key, t in ranked]
        return {"trace": file.name, "kernel_ms_per_step": total / 1e3 / PROFILED}


def _self_times(profiler: profile, on_gpu: bool) -> dict[str, float]:
    """Microseconds of each GPU kernel, or of each operator on a CPU, without what it called."""
    if not on_gpu:
        return {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
    kernels = (event for event in profiler.key_averages() if event.device_type == DeviceType.CUDA)
    return {event.key: event.self_device_time_total for event in kernels}


def _kernel(top: list[Row], place: int) -> Row:
    return top[place] if place < len(top) else {"note": "no trace"}
