"""The alternation: passes over the images that train the teacher, the policy and the student in turn.

All randomness of a step comes from (seed, rank, pass, step), and all else that a run depends on is in its checkpoint:
a run that was stopped at any moment and resumed gives the bits of one that was not.
"""

import errno
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from tst_fast.config import reading
from tst_fast.config.imports import import_flags
from tst_fast.errors import ToldByAnother, UserError, keep_tracebacks_in, reason
from tst_fast.models import load_weights
from tst_fast.ranks import share_buffers
from tst_fast.report.metrics import MetricsLog
from tst_fast.report.observer import Observer
from tst_fast.run import checkpoint, origin
from tst_fast.run.announcer import Announcer
from tst_fast.run.artefacts import make_result, open_folder, write_artefacts
from tst_fast.run.folder import hold
from tst_fast.run.interruption import Interruption, command_to_resume
from tst_fast.run.milestones import Milestones
from tst_fast.run.not_finite import Dump, NotFinite
from tst_fast.run.plan import Pass, Stage, policy_learns
from tst_fast.run.progress import Progress
from tst_fast.run.readings import Readings
from tst_fast.run.resume_checks import require_same_past
from tst_fast.run.seeding import Stream, reseed
from tst_fast.run.session import Session
from tst_fast.run.stopwatch import Stopwatch
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
        self.origin = origin.origin_of(session)
        self.progress = Progress([session.policy.learned()])
        self.readings, self.stopwatch = Readings(self.accelerator), Stopwatch(self.accelerator.device)
        self.interruption = Interruption(self.accelerator, folder, import_flags(self.config))
        self.log: MetricsLog | None = None
        self._lock: TextIO | None = None
        self.observers: list[Observer] = []
        if self.accelerator.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = hold(folder)
            open_folder(session, folder)
            self.log = MetricsLog(folder / "metrics.jsonl")
            self.observers = [self.log, *observers]
        keep_tracebacks_in(folder)
        self.accelerator.wait_for_everyone()

    def run(self) -> dict[str, Any]:
        """Do all passes that are left; returns what `result.json` holds.

        Raises:
            Interrupted: a signal asked to stop; there is a checkpoint of the last step.
            UserError, tst_pipelines.DataError: a loss or gradient is not finite, an image cannot be read, or the disk
                is full.
        """
        with self.interruption:
            try:
                return self._run()
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise UserError(self._without_room(error)) from None

    def _run(self) -> dict[str, Any]:
        progress, session = self.progress, self.session
        self._began = time.perf_counter() - progress.clock.total
        announcer = Announcer(session, progress, self.observers)
        milestones = Milestones(session, progress, announcer, self.folder)
        announcer.open(self.folder)
        milestones.begin()
        while progress.pass_index < len(session.passes):  # to which a pass may add searches
            current = session.passes[progress.pass_index]
            self._one_pass(current, announcer)
            milestones.end_pass(current)
            progress.end_pass()
            self._save_checkpoint()
            if asked := self.interruption.agreed():
                raise self.interruption.error(asked, progress.global_step)
        result = make_result(session, progress)
        if self.accelerator.is_main_process:
            write_artefacts(session, progress, result, self.folder)
        announcer.end(result, self.folder)
        return result

    def resume(self, elastic: bool = False, overrides: Mapping[str, str] | None = None) -> None:
        """Continue from the newest checkpoint in the run's folder.

        Args:
            elastic: on another number of processes too: the same global batches, shared out anew.
            overrides: what is meant to have changed since: key to value, see `origin`.

        Raises:
            UserError, tst_pipelines.DataError: there is no checkpoint, or it was made with other settings, files, data
                or processes.
        """
        found = checkpoint.load_newest(self.folder / "checkpoints")
        state = found.state
        changed = origin.differences(state["origin"], self.origin)
        origin.require_stated(changed, overrides or {}, self.folder)
        progress = Progress.from_state(state["progress"])
        require_same_past(changed, self.config, progress, self.session.training_loader.steps_per_epoch)
        try:
            self.learners.load_state_dict(state["learners"])
        except (RuntimeError, ValueError, KeyError) as error:
            why = str(error).splitlines()[0]
            raise UserError(f"checkpoint {found.file} does not fit the networks as they are now ({why})") from None
        if self.session.teaches_first and "teacher" not in state["learners"]:
            load_weights(self.session.require_teacher(), self.folder / "teacher.safetensors", "teacher")
        self.session.training_loader.load_state_dict(state["loader"], elastic)
        self.progress = progress
        self.session.plan_passes(self.progress.searches)
        self.accelerator.wait_for_everyone()  # before files are renamed that another process still looks at
        if self.log is not None:
            found.set_aside()
            origin.record(changed, self.progress.global_step, self.folder)
            if changed:
                reading.save(self.config, self.folder / "config.yaml")
            self.log.load_state_dict(state["log"])
        for observer in self.observers:
            for notice in found.notices:
                observer.noticed(notice)

    def close(self) -> None:
        """Release loaders, networks, bars and files. Closing twice is allowed."""
        self.session.close()
        for observer in self.observers:
            observer.close()
        if self._lock is not None:
            self._lock.close()

    def _one_pass(self, current: Pass, announcer: Announcer) -> None:
        progress, loader = self.progress, self.session.loader_of(current.stage)
        if current.stage != "teacher":
            self.session.settle_teacher()
        if progress.step == 0:
            go_to_epoch(loader, current.loader_epoch)
        if current.opens_search and progress.step == 0:
            self.learners.require_search().begin()
        started, first = self._counted = time.perf_counter(), progress.step
        self._measured: Counter[str] = Counter()
        for batch in loader:
            self._one_step(current.stage, batch)
            progress.step += 1
            progress.global_step += 1
            taken, seconds = progress.step - first, time.perf_counter() - started
            saves = progress.step % self.config.checkpoint_every == 0 and progress.step < current.steps
            asked = None
            due = progress.step % self.config.log_every == 0 or progress.global_step == 1
            if due or saves or self.interruption.is_due:
                self._read(current, announcer, taken * self.config.data.batch_size / seconds)
                asked = self.interruption.agreed() if progress.step < current.steps else None
            if progress.step == current.steps < loader.steps_per_epoch:
                break
            if saves or asked:
                self._count(current.stage)  # else what was done would be lost with a stop
                self._save_checkpoint()
            if asked:
                raise self.interruption.error(asked, progress.global_step)
        rate = (progress.step - first) * self.config.data.batch_size / (time.perf_counter() - started)
        self._read(current, announcer, rate)
        self._count(current.stage)
        announcer.pass_ended(current, rate, dict(self._measured))

    def _count(self, stage: Stage) -> None:
        """Add to the clock what a pass did since the last time."""
        (since, first), self._counted = self._counted, (time.perf_counter(), self.progress.step)
        measured = self.stopwatch.read()
        self._measured.update(measured)
        images = (self.progress.step - first) * self.config.data.batch_size
        self.progress.clock.add(stage, self._counted[0] - since, measured.get("search", 0.0), images)

    def _one_step(self, stage: Stage, batch: Batch) -> None:
        """One update on a batch; in an interleaved search, the policy's and then the student's."""
        step, current = self.progress.step, self.session.passes[self.progress.pass_index]
        reseed(self.config.seed, Stream.STEP, self.accelerator.process_index, current.loader_epoch, step)
        batch = self.session.mixing[stage](batch)
        if stage == "student" and policy_learns(self.config, self.learners.student.step_count):
            share_buffers(self.session.student)
            self._update("search", batch)
        self._update(stage, batch)

    def _update(self, stage: Stage, batch: Batch) -> None:
        try:
            with self.stopwatch.measure(stage):
                scalars = self.learners.of(stage).step(batch)
        except Exception:
            self._require_finite()  # what an earlier step left is the better explanation
            raise
        self.readings.add(stage, self.progress.step, batch.indices, scalars)

    def _read(self, current: Pass, announcer: Announcer, rate: float) -> None:
        """Read what the devices have computed since the last time, and refuse NaN."""
        try:
            readings = self.readings.read()
        except NotFinite as error:
            raise self._explain(error) from None
        for one in readings:
            if one.stage == current.stage:
                self.progress.pass_loss += one.means["loss"] * one.steps
                self.progress.pass_confidence += one.means.get("plain_student_confidence", 0.0) * one.steps
            announcer.steps(current, one, rate)

    def _require_finite(self) -> None:
        try:
            self.readings.require_finite()
        except NotFinite as error:
            raise self._explain(error) from None

    def _explain(self, found: NotFinite) -> UserError:
        """The message for the user; the main process also writes a dump to replay the step from."""
        progress, session = self.progress, self.session
        epoch = session.passes[progress.pass_index].epoch
        dump = Dump.of(found, epoch, progress.pass_index, session.splits.train, self.accelerator.num_processes)
        if self.accelerator.is_main_process:
            dump.write(self.folder)
        kind = UserError if dump.files else ToldByAnother
        return kind(dump.message(self.folder, import_flags(self.config)))

    def _without_room(self, error: OSError) -> str:
        """The message for a full disk: what was saved, and how to resume."""
        why, step = reason(error), self.progress.global_step
        found = f"{why}, after step {step:,} of the run in {self.folder}"
        newest = max((self.folder / "checkpoints").glob("*.pt"), default=None)
        if newest is None:
            return f"{found}: make room, and start it anew, for it has no checkpoint yet"
        command = command_to_resume(self.folder, self.accelerator, import_flags(self.config))
        return f"{found}; its checkpoint {newest.name} is whole: make room, and go on with\n{command}"

    def _save_checkpoint(self) -> None:
        """Everything that the rest of the run depends on. The ranks hold the same state, so the main process writes."""
        learners = self.learners.state_dict()
        if not checkpoint.is_finite(learners):  # never over a good one
            raise UserError(
                f"the weights are not finite after step {self.progress.global_step:,} of the run; checkpoints from "
                f"before are in {self.folder / 'checkpoints'}"
            )
        self.progress.clock.total = time.perf_counter() - self._began
        if self.log is not None:
            state = {
                "origin": self.origin,
                "progress": self.progress.state_dict(),
                "learners": learners,
                "loader": self.session.training_loader.state_dict(),
                "log": self.log.state_dict(),
            }
            checkpoint.save(self.folder / "checkpoints", self.progress.global_step, state)
