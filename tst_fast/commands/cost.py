"""What a run will cost: seconds by stage, from a few real steps, and memory."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from tst_fast.errors import Finding
from tst_fast.run.evaluate import evaluate
from tst_fast.run.memory import peak_memory
from tst_fast.run.plan import count_steps, plan
from tst_fast.run.session import Session
from tst_fast.run.stopwatch import Stopwatch
from tst_pipelines import Batch

STEPS = 4
SLOW_LOADING = 0.2
FULL_MEMORY = 0.9
EVALUATION_BATCHES = 2
MORE_MEMORY = "raise --student_training.accumulate, or lower --data.batch_size"


def measure_cost(session: Session, training: Iterator[Batch]) -> list[Finding]:
    """The run's time, its share by stage, and its memory, from a few steps after one to warm up.

    Args:
        session: of a run not yet begun; its networks are trained a little here.
        training: the student's batches.
    """
    config = session.config
    _teacher_step(session, training, 1)
    if session.accelerator.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    teacher = _teacher_step(session, training, STEPS)
    session.settle_teacher()  # as the others find it
    _steps(session, training, 1)
    step = _steps(session, training, STEPS)
    passes = plan(config, session.training_loader.steps_per_epoch)
    counts, crops = count_steps(config, passes), _crops(session)
    seconds = {
        "loading": step.pop("loading") * sum(one.steps / (1 if one.stage == "student" else crops) for one in passes),
        "search": step.pop("search", 0.0) * counts["search"],
        "training the teacher": teacher * counts["teacher"],
        **{f"student: {name}": value * counts["student"] for name, value in step.items()},
        "evaluation": _evaluation(session) * -(-config.student_training.epochs // config.evaluate_every),
    }
    total = sum(seconds.values())
    shares = {name: value / total for name, value in seconds.items() if value}
    table = ", ".join(f"{name} {100 * share:.0f} %" for name, share in sorted(shares.items(), key=lambda s: -s[1]))
    found = f"about {_duration(total)} on this machine; {counts['student']:,} student steps"
    costs = [Finding("time", "good", found), Finding("share of time", "good", table)]
    if shares["loading"] > SLOW_LOADING:
        remedy = "raise --data.threads, or put the images on a faster disk"
        costs[1] = Finding("share of time", "doubtful", table, remedy)
    return [*costs, _memory(session)]


def _crops(session: Session) -> int:
    """Batches of plain images in a student's, of which the other stages have one."""
    return 2 if session.config.distillation.second_crop else 1


def _teacher_step(session: Session, training: Iterator[Batch], number: int) -> float:
    """Mean seconds of a step of the teacher's training, of so many; 0 where it has learned."""
    learner, stopwatch = session.learners.teacher, Stopwatch(session.accelerator.device)
    if learner is None:
        return 0.0
    for _ in range(number):
        batch = next(training).split(_crops(session))[0]
        with stopwatch.measure("step"):
            learner.step(batch)
    return stopwatch.read()["step"] / number


def _steps(session: Session, training: Iterator[Batch], number: int) -> dict[str, float]:
    """Mean seconds of each part of a step of the student, and of the search's."""
    stopwatch, loading = Stopwatch(session.accelerator.device), 0.0
    networks = {"forward": session.student}
    if session.config.distillation.teacher:
        networks["teacher"] = session.require_teacher()
    searched = session.config.distillation.has_policy
    for _ in range(number):
        started = time.perf_counter()
        batch = next(training)
        loading += time.perf_counter() - started
        if searched:
            with stopwatch.measure("search"):
                session.learners.require_search().step(batch)
        with stopwatch.measure("step"), _forwards(stopwatch, networks), _loss(stopwatch, session):
            session.learners.student.step(batch)
        if session.accelerator.device.type == "cuda":
            torch.cuda.synchronize()
    spent = {name: value / number for name, value in stopwatch.read().items()}
    inside = spent.pop("loss")
    spent["backward and step"] = spent.pop("step") - inside
    spent["augmentation and loss"] = inside - sum(spent[name] for name in networks)
    return {"loading": loading / number, **spent}


@contextmanager
def _forwards(stopwatch: Stopwatch, networks: dict[str, nn.Module]) -> Iterator[None]:
    """Measure the forward passes of networks, each under its name."""
    running: dict[str, ExitStack] = {}

    def enter(name: str) -> None:
        running[name] = ExitStack()
        running[name].enter_context(stopwatch.measure(name))

    handles = []
    for name, network in networks.items():
        handles.append(network.register_forward_pre_hook(lambda *_, name=name: enter(name)))
        handles.append(network.register_forward_hook(lambda *_, name=name: running.pop(name).close()))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _loss(stopwatch: Stopwatch, session: Session) -> Iterator[None]:
    """Measure the student's loss, all that comes before the backward pass."""
    update = session.learners.student
    loss = update.loss

    def measured(*arguments):
        with stopwatch.measure("loss"):
            return loss(*arguments)

    update.loss = measured
    try:
        yield
    finally:
        update.loss = loss


def _evaluation(session: Session) -> float:
    """Seconds of one evaluation of the student."""
    batches = min(EVALUATION_BATCHES, session.test_loader.steps_per_epoch)
    asked = session.student, session.test_loader, session.task, session.config.data, session.accelerator
    evaluate(*asked, 1)
    started = time.perf_counter()
    evaluate(*asked, batches)
    return (time.perf_counter() - started) / batches * session.test_loader.steps_per_epoch


def _memory(session: Session) -> Finding:
    device = session.accelerator.device
    if device.type == "cuda":
        whole, where = torch.cuda.get_device_properties(device).total_memory, torch.cuda.get_device_name(device)
    else:
        where = "this machine"
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    used = peak_memory(device)
    found = f"{used / 2**30:.1f} of the {whole / 2**30:.1f} GiB of {where}"
    if used > FULL_MEMORY * whole:
        return Finding("memory", "doubtful", found, MORE_MEMORY)
    return Finding("memory", "good", found)


def _duration(seconds: float) -> str:
    for name, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {name}"
    return f"{seconds:.0f} seconds"
