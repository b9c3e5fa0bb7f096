"""Times of a step's stages, taken around the program's own objects, which know nothing of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from torch import Tensor, nn

from tst_fast.policy.augmenter import Augmenter
from tst_fast.policy.policy import Policy
from tst_fast.run.session import Session
from tst_fast.run.stopwatch import Stopwatch

STAGES = ("data", "augmentation", "teacher", "student", "backward", "optimizer", "policy")
"""Waiting for a batch; drawing from the policy and applying it; forward passes; gradients; the updates of the student's
weights and of the policy. What is left of a step is normalisation, losses and norms."""


@contextmanager
def watched(sessions: Sequence[Session], stopwatch: Stopwatch) -> Iterator[None]:
    """Within, steps of these sessions tell the stopwatch their `STAGES`, all but "data"."""
    with ExitStack() as stack:

        def watch(owner: object, method: str, stage: str) -> None:
            measured = _measured(getattr(owner, method), stopwatch, stage)
            stack.enter_context(mock.patch.object(owner, method, measured))

        watch(Policy, "draw", "augmentation")
        watch(Augmenter, "apply", "augmentation")
        watch(Tensor, "backward", "backward")
        for session in sessions:
            watch(session.learners.student.optimizer, "step", "optimizer")
            watch(session.learners.require_search().optimizer, "step", "policy")
            stack.enter_context(_calls(session.student, stopwatch, "student"))
            stack.enter_context(_calls(session.require_teacher(), stopwatch, "teacher"))
        yield


def _measured(function: Callable[..., Any], stopwatch: Stopwatch, stage: str) -> Callable[..., Any]:
    def measured(*arguments: Any, **named: Any) -> Any:
        with stopwatch.measure(stage):
            return function(*arguments, **named)

    return measured


@contextmanager
def _calls(network: nn.Module, stopwatch: Stopwatch, stage: str) -> Iterator[None]:
    """Measure a network's calls: by a class of its own, for a compiled network would have hooks in its graph."""
    kind = type(network)
    call = _measured(kind.__call__, stopwatch, stage)
    network.__class__ = type(kind.__name__, (kind,), {"__call__": call})
    try:
        yield
    finally:
        network.__class__ = kind
