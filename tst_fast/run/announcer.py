"""Events of a run, each with its place in the run, for all observers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from tst_fast.report.metrics import Evaluated, Event, PassEnded, PolicyMoved, SearchEnded, StepsTaken
from tst_fast.report.observer import Observer, Opening
from tst_fast.run.memory import peak_memory
from tst_fast.run.plan import Pass, Stage, most_steps, steps_before
from tst_fast.run.progress import Learned, Progress
from tst_fast.run.readings import Reading
from tst_fast.run.session import Session
from tst_fast.tasks.metrics import Evaluation


class Announcer:
    """Turns what a run finds into events, and sends them to its observers.

    Args:
        session: of the run.
        progress: of the run: where it is.
        observers: none but in the main process.
    """

    def __init__(self, session: Session, progress: Progress, observers: Sequence[Observer]) -> None:
        self.session, self.progress, self.observers = session, progress, observers

    def open(self, folder: Path) -> None:
        """The run is about to take a step."""
        session = self.session
        opening = Opening(
            name=session.config.name,
            folder=folder,
            steps=most_steps(session.config, session.training_loader.steps_per_epoch, session.passes),
            taken={stage: self._stage_step(stage) for stage in get_args(Stage)},
            epochs={role: getattr(session.config, f"{role}_training").epochs for role in ("teacher", "student")},
            global_step=self.progress.global_step,
            images=(len(session.splits.train), len(session.splits.test)),
            loader=type(session.training_loader).__name__,
            titles={metric.name: metric.title for metric in session.task.metrics},
            fits=session.fits,
        )
        for observer in self.observers:
            observer.opened(opening)

    def noticed(self, message: str) -> None:
        """Something that the user should know, in words."""
        for observer in self.observers:
            observer.noticed(message)

    def steps(self, current: Pass, reading: Reading, rate: float) -> None:
        """What steps of a pass left; in an interleaved search, the policy's steps lie within a student's pass."""
        self._event(
            StepsTaken,
            current,
            stage=reading.stage,
            step=self.progress.step,
            stage_step=self._stage_step(current.stage),
            learning_rate=self.session.learners.of(reading.stage).learning_rate,
            images_per_second=rate,
            means=reading.means,
            memory=peak_memory(self.session.accelerator.device),
        )

    def pass_ended(self, current: Pass, rate: float, seconds: dict[str, float]) -> None:
        """A pass, with the seconds of each stage's steps in it."""
        mean_loss = self.progress.pass_loss / self.progress.step
        self._event(PassEnded, current, mean_loss=mean_loss, images_per_second=rate, seconds=seconds)

    def evaluated(self, current: Pass, role: str, found: Evaluation) -> None:
        """A network on the test images."""
        confusion = None if found.confusion is None else found.confusion.tolist()
        self._event(Evaluated, current, role=role, scores=found.scores, by_class=found.by_class, confusion=confusion)

    def policy_moved(self, current: Pass, learned: Learned) -> None:
        """What the policy knows after a pass of its search."""
        values = {
            row.operation: {name: getattr(row, name) for name in ("probability", "level", "magnitude")}
            for row in learned
        }
        share = self.progress.clock.search_share
        self._event(PolicyMoved, current, operations=values, search_share=share)

    def search_ended(self, current: Pass, **found: Any) -> None:
        """What became of a search: the fields of `SearchEnded`."""
        self._event(SearchEnded, current, **found)

    def end(self, result: dict[str, Any], folder: Path) -> None:
        """The run is over."""
        for observer in self.observers:
            observer.ended(result, self.progress.history, folder)

    def _stage_step(self, stage: Stage) -> int:
        """Steps of a stage until now, in passes of its own."""
        passes, index = self.session.passes, self.progress.pass_index
        under_way = index < len(passes) and passes[index].stage == stage
        return steps_before(passes, index, stage) + (self.progress.step if under_way else 0)

    def _event(self, kind: type[Event], current: Pass, **values: Any) -> None:
        where = {"pass_index": self.progress.pass_index, "global_step": self.progress.global_step}
        event = kind(**{"stage": current.stage, "epoch": current.epoch, **where, **values})
        for observer in self.observers:
            observer.event(event)
