"""A run from a dump's checkpoint to the step that was not finite, which is watched."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tst_fast.run.checkpoint import is_finite, tensors_of
from tst_fast.run.loop import Run
from tst_fast.run.not_finite import Dump
from tst_fast.run.plan import Stage
from tst_fast.run.session import Session
from tst_fast.run.update import ModelUpdate, Scalars
from tst_pipelines import Batch

SHOWN = 3


class _Over(Exception):
    """The step was taken again."""


class Repetition(Run):
    """Takes the steps up to the one of a dump, and watches that one.

    Args:
        session: of the dump's configuration.
        folder: a copy of the dump, which is written to.
        dump: which step.
    """

    def __init__(self, session: Session, folder: Path, dump: Dump) -> None:
        super().__init__(session, folder)
        self.dump, self.findings = dump, list[str]()

    def find(self) -> list[str]:
        """What of the step is not finite, in the order in which it comes to be; that it is finite, if it is."""
        if any((self.folder / "checkpoints").glob("*.pt")):
            self.resume(elastic=True)
        with suppress(_Over):
            self.run()
        if self.dump.processes > 1:
            self.findings.append(f"(one process in place of the run's {self.dump.processes}: batch norm may differ)")
        return self.findings

    def _update(self, stage: Stage, batch: Batch) -> None:
        here = self.progress.pass_index, self.progress.step, stage
        if here != (self.dump.pass_index, self.dump.step, self.dump.stage):
            super()._update(stage, batch)
            return
        learner = self.learners.of(stage)
        trained = learner.model if isinstance(learner, ModelUpdate) else learner.policy
        networks = {"teacher": self.session.teacher, "student": self.session.student, stage: trained}
        self.findings += [f"the weights of {name} before the step" for name in networks if _is_spoilt(networks[name])]
        with _watched(networks) as outputs, _watched_gradients(trained) as gradients:
            scalars = learner.step(batch)
        self.findings += [f"what {name} gives" for name in outputs[:SHOWN]]
        self.findings += [f"{name}: {value}" for name, value in _values(scalars) if not abs(value) < float("inf")]
        if gradients:
            some = ", ".join(gradients[:SHOWN])
            self.findings.append(f"the gradients of {len(gradients)} weights: {some}")
        if not self.findings:
            found = ", ".join(f"{name} {value:.4g}" for name, value in _values(scalars))
            self.findings = [f"nothing this time: {found}; the machine or its kernels may differ"]
        raise _Over


def _is_spoilt(network: nn.Module | None) -> bool:
    return network is not None and not is_finite(network.state_dict())


def _values(scalars: Scalars) -> list[tuple[str, float]]:
    return [(name, value.item()) for name, value in scalars.items()]


@contextmanager
def _watched(networks: dict[str, nn.Module | None]) -> Iterator[list[str]]:
    """Names of the modules whose outputs are not finite, in the order in which these come to be."""
    found: list[str] = []

    def watch(name: str):
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            if not is_finite(list(tensors_of(output))):
                found.append(f"{name} ({type(module).__name__})")

        return look

    handles = [
        module.register_forward_hook(watch(f"{role}.{name}" if name else role))
        for role, network in networks.items()
        if network is not None
        for name, module in network.named_modules()
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _watched_gradients(network: nn.Module) -> Iterator[list[str]]:
    """Names of the weights whose gradients are not finite."""
    found: list[str] = []

    def watch(name: str):
        def look(gradient: Tensor) -> None:
            if not gradient.isfinite().all():
                found.append(name)

        return look

    handles = [value.register_hook(watch(name)) for name, value in network.named_parameters() if value.requires_grad]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
