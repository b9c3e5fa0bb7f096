"""The alternation: passes over the images that train the teacher, the policy and the student in turn.

All randomness of a step comes from (seed, rank, pass, step), and all else that a run depends on is in its checkpoint:
a run that was stopped at any moment and resumed gives the bits of one that was not.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast
from torch import nn

from tst_fast.config import reading
from tst_fast.errors import UserError
from tst_fast.models import load_weights, save_weights
from tst_fast.report.metrics import Evaluated, MetricsLog, PassEnded, PolicyMoved, SearchEnded, StepsTaken
from tst_fast.report.observer import Observer, Opening
from tst_fast.report.plots import write_alignment
from tst_fast.run import checkpoint
from tst_fast.run.artefacts import make_result, write_artefacts
from tst_fast.run.evaluate import evaluate
from tst_fast.run.held_out_gap import held_out_gaps
from tst_fast.run.pictures import draw_search, fixed_images
from tst_fast.run.plan import (
    DRY_STEPS,
    Pass,
    Stage,
    most_steps,
    policy_learns,
    search_ends,
    search_is_due,
    search_of,
    steps_before,
)
from tst_fast.run.progress import Progress
from tst_fast.run.readings import NotFinite, Readings
from tst_fast.run.seeding import Stream, reseed
from tst_fast.run.session import Session
from tst_fast.run.signal import Verdict
from tst_fast.run.stopwatch import Stopwatch
from tst_fast.tasks.metrics import Evaluation
from tst_pipelines import Batch, go_to_epoch


class Run:
    """Walks the passes of a session to their end.

    Args:
        session: what there is to work with; closed with the run.
        folder: the run's; made, with the configuration in it.
        observers: told what happens, in the main process alone.
    """

    def __init__(self, session: Session, folder: Path, observers: Sequence[Observer] = ()) -> None:
        self.session, self.folder = session, folder
        self.config, self.accelerator, self.learners = session.config, session.accelerator, session.learners
        self.progress = Progress([session.policy.learned()])
        self.readings, self.stopwatch = Readings(self.accelerator), Stopwatch(self.accelerator.device)
        self.log: MetricsLog | None = None
        self.observers: list[Any] = []
        if self.accelerator.is_main_process:
            if not (folder / "config.yaml").exists():
                folder.mkdir(parents=True, exist_ok=True)
                reading.save(self.config, folder / "config.yaml")
            if session.fits:
                write_alignment(session.fits, folder)
            self.log = MetricsLog(folder / "metrics.jsonl")
            self.observers = [self.log, *observers]
        self.accelerator.wait_for_everyone()

    def run(self) -> dict[str, Any]:
        """Do all passes that are left; returns what `result.json` holds."""
        progress, session = self.progress, self.session
        started = time.perf_counter() - progress.clock.total
        self._tell("opened", self._opening())
        if self.session.teacher is not None and self.learners.teacher is None and progress.teacher_scores is None:
            progress.teacher_scores = self._evaluate("teacher", self.session.teacher, Pass("teacher", 0, 0))
        while progress.pass_index < len(session.passes):  # to which a pass may add searches
            self._one_pass(session.passes[progress.pass_index])
            progress.clock.total = time.perf_counter() - started
            self._save_checkpoint()
        result = make_result(self.session, progress)
        if self.accelerator.is_main_process:
            write_artefacts(self.session, progress, result, self.folder)
        self._tell("ended", result, progress.history, self.folder)
        return result

    def resume(self, elastic: bool = False) -> None:
        """Continue from the newest checkpoint in the run's folder.

        Args:
            elastic: on another number of processes too: the same global batches, shared out anew.

        Raises:
            UserError, tst_pipelines.DataError: there is no checkpoint, or it was made with other data or processes.
        """
        state = checkpoint.load_newest(self.folder / "checkpoints")
        self.learners.load_state_dict(state["learners"])
        if self.session.teaches_first and "teacher" not in state["learners"]:
            load_weights(self.session.teacher, self.folder / "teacher.safetensors", "teacher")
        self.session.training_loader.load_state_dict(state["loader"], elastic)
        self.progress = Progress.from_state(state["progress"])
        self.session.plan_passes(self.progress.searches)
        if self.log is not None:
            self.log.load_state_dict(state["log"])

    def close(self) -> None:
        """Release loaders, networks, bars and files. Closing twice is allowed."""
        self.session.close()
        self._tell("close")

    def _tell(self, what: str, *arguments: Any) -> None:
        for observer in self.observers:
            getattr(observer, what)(*arguments)

    def _opening(self) -> Opening:
        session = self.session
        return Opening(
            name=self.config.name,
            steps=most_steps(self.config, session.training_loader.steps_per_epoch, session.passes),
            images=(len(session.splits.train), len(session.splits.test)),
            loader=type(session.training_loader).__name__,
            titles={metric.name: metric.title for metric in session.task.metrics},
            fits=session.fits,
        )

    def _one_pass(self, current: Pass) -> None:
        progress, loader = self.progress, self.session.loader_of(current.stage)
        self._settle(current.stage)
        if progress.step == 0:
            go_to_epoch(loader, current.loader_epoch)
        if current.opens_search and progress.step == 0:
            self.learners.search.begin()
        started, first = time.perf_counter(), progress.step
        for batch in loader:
            self._one_step(current.stage, batch)
            progress.step += 1
            progress.global_step += 1
            taken, seconds = progress.step - first, time.perf_counter() - started
            saves = progress.step % self.config.checkpoint_every == 0 and progress.step < current.steps
            if progress.step % self.config.log_every == 0 or saves:
                self._read(current, taken * self.config.data.batch_size / seconds)
            if progress.step == current.steps < loader.steps_per_epoch:
                break
            if saves:
                self._save_checkpoint()
        seconds = time.perf_counter() - started
        images = (progress.step - first) * self.config.data.batch_size
        self._read(current, images / seconds)
        measured = self.stopwatch.read()
        progress.clock.add(current.stage, seconds, measured.get("search", 0.0), images)
        self._end_pass(current, images / seconds, measured)

    def _one_step(self, stage: Stage, batch: Batch) -> None:
        """One update on a batch; in an interleaved search, the policy's and then the student's."""
        step, current = self.progress.step, self.session.passes[self.progress.pass_index]
        reseed(self.config.seed, Stream.STEP, self.accelerator.process_index, current.loader_epoch, step)
        batch = self.session.mixing[stage](batch)
        if stage == "student" and policy_learns(self.config, self.learners.student.step_count):
            self._update("search", batch)
        self._update(stage, batch)

    def _update(self, stage: Stage, batch: Batch) -> None:
        with self.stopwatch.measure(stage):
            scalars = self.learners.of(stage).step(batch)
        self.readings.add(stage, self.progress.step, batch.indices, scalars)

    def _settle(self, stage: Stage) -> None:
        """A teacher that no longer learns is frozen for good."""
        if stage != "teacher" and self.session.teacher is not None:
            self.learners.teacher = None
            self.session.teacher.eval().requires_grad_(False)

    def _end_pass(self, current: Pass, rate: float, seconds: dict[str, float]) -> None:
        progress = self.progress
        mean_loss = progress.pass_loss / progress.step
        self._event(PassEnded, current, mean_loss=mean_loss, images_per_second=rate, seconds=seconds)
        if current.stage == "search" or (current.stage == "student" and search_of(self.config) == "interleaved"):
            self._end_search_pass(current)
        if current.stage == "student" and self._evaluation_is_due(current):
            scores = self._evaluate("student", self.learners.student.evaluated, current)
            progress.student_scores.append({"epoch": current.epoch, **scores})
        if current.stage == "student" and search_is_due(
            self.config, progress.pass_confidence / progress.step, len(progress.searches)
        ):
            progress.searches.append(current.epoch + 1)
            self.session.plan_passes(progress.searches)
        if current.ends_teacher:
            teacher = self.session.teacher
            teacher.load_state_dict(self.learners.teacher.evaluated.state_dict())
            progress.teacher_scores = self._evaluate("teacher", teacher, current)
            if self.accelerator.is_main_process:
                save_weights(teacher, self.folder / "teacher.safetensors", self.config.teacher.name)
        progress.end_pass()

    def _end_search_pass(self, current: Pass) -> None:
        progress, learned = self.progress, self.session.policy.learned()
        progress.history.append(learned)
        values = {
            row.operation: {name: getattr(row, name) for name in ("probability", "level", "magnitude")}
            for row in learned
        }
        self._event(PolicyMoved, current, operations=values, search_share=progress.clock.search_share)
        if search_ends(self.config, self.session.passes, progress.pass_index) and not self.session.dry:
            gap = held_out_gaps(self.session)
            progress.gaps.append({"epoch": current.epoch, **gap})
            pictures, confidences = {}, {}
            batch = fixed_images(self.session)
            if self.accelerator.is_main_process:
                pictures, confidences = draw_search(self.session, batch, self.folder, len(progress.gaps) - 1)
            signal = self.learners.search.signal.statistics()
            warnings = Verdict.of(signal, self.session.policy).warnings()
            found = {"gap": gap, "pictures": pictures, "confidences": confidences}
            self._event(SearchEnded, current, **found, signal=signal, warnings=warnings)

    def _evaluation_is_due(self, current: Pass) -> bool:
        number = current.epoch + 1
        last = number >= self.config.student_training.epochs
        return number % self.config.evaluate_every == 0 or last or self.session.dry

    def _evaluate(self, role: str, network: nn.Module, current: Pass) -> dict[str, float]:
        """The scores of a network on the test images."""
        for buffer in network.buffers():  # batch-norm statistics that each rank kept for itself
            broadcast(buffer)
        session, batches = self.session, DRY_STEPS if self.session.dry else None
        found: Evaluation = evaluate(
            network, session.test_loader, session.task, self.config.data, self.accelerator, batches
        )
        confusion = None if found.confusion is None else found.confusion.tolist()
        self._event(Evaluated, current, role=role, scores=found.scores, by_class=found.by_class, confusion=confusion)
        return found.scores

    def _event(self, kind: type, current: Pass, **values: Any) -> None:
        progress = self.progress
        where = {"pass_index": progress.pass_index, "global_step": progress.global_step}
        self._tell("event", kind(**{"stage": current.stage, "epoch": current.epoch, **where, **values}))

    def _read(self, current: Pass, rate: float) -> None:
        """Read what the devices have computed since the last time, and refuse NaN."""
        try:
            readings = self.readings.read()
        except NotFinite as error:
            raise self._not_finite(error, current) from None
        for one in readings:
            if one.stage == current.stage:
                self.progress.pass_loss += one.means["loss"] * one.steps
                self.progress.pass_confidence += one.means.get("plain_student_confidence", 0.0) * one.steps
            self._event(
                StepsTaken,
                current,
                stage=one.stage,
                step=self.progress.step,
                stage_step=steps_before(self.session.passes, self.progress.pass_index, current.stage)
                + self.progress.step,
                learning_rate=self.learners.of(one.stage).learning_rate,
                images_per_second=rate,
                means=one.means,
            )

    def _not_finite(self, found: NotFinite, current: Pass) -> UserError:
        """Every rank stops; those that made the NaN name the batch."""
        where = "a batch of another process"
        if found.indices is not None:
            paths = [self.session.splits.train.path(i) for i in found.indices]
            where = f"the batch of {', '.join(paths[:3])} and {max(len(paths) - 3, 0)} more images"
        flags = "policy" if found.stage == "search" else f"{found.stage}_training.optimizer"
        return UserError(
            f"the loss is not finite at step {found.step} of {found.stage} epoch {current.epoch}, in {where}. Lower "
            f"--{flags}.learning_rate, or look at these images; checkpoints from before are in "
            f"{self.folder / 'checkpoints'}"
        )

    def _save_checkpoint(self) -> None:
        """Everything that the rest of the run depends on. The ranks hold the same state, so the main process writes."""
        if self.log is None:
            return
        state = {
            "progress": self.progress.state_dict(),
            "learners": self.learners.state_dict(),
            "loader": self.session.training_loader.state_dict(),
            "log": self.log.state_dict(),
        }
        name = f"{self.progress.pass_index:05}-{self.progress.step:07}"
        checkpoint.save(self.folder / "checkpoints", name, state)
