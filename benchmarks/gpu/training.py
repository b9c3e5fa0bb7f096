"""A plain TST step on this GPU, beside KD on as many images, and what the profiler sees in it."""

from collections.abc import Iterator, Sequence
from functools import cache, partial

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.cases import Case, Setting
from benchmarks.results import Row
from benchmarks.timing import synchronise
from benchmarks.training import IMAGENET, Training, measure

STEPS = ("KD", "TST, student", "TST, search")
PROFILED = 3  # steps
TOP = 12  # kernels


def cases(setting: Setting, so_far: Sequence[Row]) -> Iterator[Case]:
    """A row for each kind of step, then the trace, then the kernels that take longest."""

    @cache
    def training() -> Training:
        return Training(IMAGENET, setting.batch, setting.device, setting.sizes[0])

    what = {"pair": str(IMAGENET), "size": setting.sizes[0], "batch": setting.batch}
    for name in STEPS:
        yield Case(what | {"step": name}, lambda name=name: measure(training(), name, 5 * setting.seconds))
    top: list[Row] = []
    yield Case(what | {"step": "trace of TST, student"}, lambda: _trace(training(), setting, top))
    for place in range(TOP):
        yield Case({"step": f"kernel {place + 1} by time"}, partial(_kernel, top, place))


def _trace(training: Training, setting: Setting, top: list[Row]) -> Row:
    """Writes a trace for Chrome or Perfetto; fills `top`."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (setting.device.type == "cuda")
    training.tst(lambda stage: None)
    synchronise()
    with profile(activities=activities) as profiler:
        for _ in range(PROFILED):
            training.tst(lambda stage: None)
        synchronise()
    file = setting.file.with_suffix(".trace.json.gz")
    profiler.export_chrome_trace(str(file))
    times = _self_times(profiler, setting.device.type == "cuda")
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
