"""The alternation: passes over the images that train the teacher, the policy and the student in turn.

All randomness of a step comes from (seed, rank, pass, step), and all else that a run depends on is in its checkpoint:
a run that was stopped at any moment and resumed gives the bits of one that was not.
"""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn

from tst_fast.config import reading
from tst_fast.config.schema import Config
from tst_fast.errors import UserError
from tst_fast.models import load_weights, save_weights
from tst_fast.policy.alignment import Fit
from tst_fast.policy.file import PolicyFile
from tst_fast.policy.policy import LearnedOperation
from tst_fast.report.terminal import STAGES, Reporter, alignment_table, plot_policy, policy_table, write_alignment
from tst_fast.run import checkpoint
from tst_fast.run.gap import confidence_gaps
from tst_fast.run.plan import DRY_STEPS, Pass, Stage, plan, policy_learns, rehearsal, search_of
from tst_fast.run.seeding import reseed
from tst_fast.run.session import build
from tst_fast.run.stopwatch import Stopwatch
from tst_fast.run.update import Report
from tst_fast.tasks import accuracy, evaluation_loader, load_splits, training_loader
from tst_pipelines import Batch, skip_to_next_epoch


class Run:
    """A run from its configuration to its result.

    Args:
        config: what to do.
        folder: the run's folder; made, with the configuration in it, once all else is found to be in order.
        accelerator: processes, devices and precision.
        quiet: show no tables, and take the progress bars away at the end.
        dry: take two steps of everything, and stop.

    Raises:
        UserError, tst_pipelines.DataError: something of the configuration or the data cannot work.
    """

    def __init__(
        self, config: Config, folder: Path, accelerator: Accelerator, quiet: bool = False, dry: bool = False
    ) -> None:
        self.config, self.folder, self.accelerator = config, folder, accelerator
        self.quiet, self.dry = quiet, dry
        self.pass_index = self.step = 0
        with accelerator.local_main_process_first():  # what is downloaded or written is so once
            splits = load_splits(config.data)
        self.train_loader = training_loader(config.data, splits.train, accelerator, config.seed)
        self.test_loader = evaluation_loader(config.data, splits.test, accelerator)
        self.passes = plan(config, self.train_loader.steps_per_epoch)
        if dry:
            self.passes = rehearsal(self.passes)
        parts = build(config, self.passes, self.train_loader, accelerator, quiet)
        self.augmenter, self.policy = parts.augmenter, parts.augmenter.policy
        self.student, self.teacher = parts.student, parts.teacher
        self.mixing, self.updates = parts.mixing, parts.updates
        self.history = [self.policy.learned()]
        self.accuracies: list[float] = []
        self.gaps: list[dict[str, Any]] = []
        self.teacher_accuracy: float | None = None
        self.clock = {"seconds": 0.0, "student_seconds": 0.0, "search_seconds": 0.0, "student_images": 0}
        self.stopwatch = Stopwatch(accelerator.device)
        self._pending: dict[Stage, list[tuple[int, np.ndarray, Report]]] = {}
        self._pass_loss = 0.0
        self._open_folder()
        steps = {stage: self._steps_before(len(self.passes), stage) for stage in STAGES}
        self.reporter = Reporter(folder, steps, accelerator.is_main_process, transient=quiet)
        self._introduce(parts.fits)

    def _introduce(self, fits: dict[str, Fit]) -> None:
        """Say what there is to learn from, and how well a neural prior follows its operations."""
        images = [len(loader.dataset) for loader in (self.train_loader, self.test_loader)]
        if fits and self.accelerator.is_main_process:
            write_alignment(fits, self.folder)
        if not self.quiet:
            kind = type(self.train_loader).__name__
            self.reporter.say(f"{images[0]:,} training and {images[1]:,} test images, by {kind}")
            if fits:
                self.reporter.say(alignment_table(fits))

    def _open_folder(self) -> None:
        if self.accelerator.is_main_process and not (self.folder / "config.yaml").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            reading.save(self.config, self.folder / "config.yaml")
        self.accelerator.wait_for_everyone()

    def run(self) -> dict[str, Any]:
        """Do all passes that are left; returns what `result.json` holds."""
        started = time.perf_counter() - self.clock["seconds"]
        if self.config.distillation.teacher and "teacher" not in self.updates and self.teacher_accuracy is None:
            self.teacher_accuracy = self._judge(self.teacher)
        while self.pass_index < len(self.passes):
            self._one_pass(self.passes[self.pass_index])
            self.clock["seconds"] = time.perf_counter() - started
            self._save_checkpoint()
        return self._finish()

    def resume(self, elastic: bool = False) -> None:
        """Continue from the newest checkpoint in the run's folder.

        Args:
            elastic: on another number of processes too: the same global batches, shared out anew.

        Raises:
            UserError, tst_pipelines.DataError: there is no checkpoint, or it was made with other data or processes.
        """
        state = checkpoint.load_newest(self.folder / "checkpoints")
        self.pass_index, self.step = state["pass_index"], state["step"]
        for stage, update in state["updates"].items():
            self.updates[stage].load_state_dict(update)
        learned_here = self.config.distillation.teacher and not self.config.teacher.trained
        if learned_here and "teacher" not in state["updates"]:
            load_weights(self.teacher, self.folder / "teacher.safetensors", "teacher")
        self.train_loader.load_state_dict(state["loader"], elastic)
        self.history = [[LearnedOperation(**row) for row in rows] for rows in state["history"]]
        self.accuracies, self.teacher_accuracy = state["accuracies"], state["teacher_accuracy"]
        self.gaps = state["gaps"]
        self.clock, self._pass_loss = state["clock"], state["pass_loss"]
        self.reporter.rewind(state["metrics_position"])

    def close(self) -> None:
        """Release loaders, networks, bars and files. Closing twice is allowed."""
        self.train_loader.close()
        self.test_loader.close()
        self.reporter.close()
        self.accelerator.free_memory()

    def _one_pass(self, current: Pass) -> None:
        self._settle(current.stage)
        if current.opens_search and self.step == 0:
            self.updates["search"].begin()
        started, first = time.perf_counter(), self.step
        done = self._steps_before(self.pass_index, current.stage)
        for batch in self.train_loader:
            self._one_step(current.stage, batch)
            self.step += 1
            if self.step % self.config.log_every == 0:
                self._flush(current)
                rate = (self.step - first) * self.config.data.batch_size / (time.perf_counter() - started)
                self.reporter.advance(current.stage, done + self.step, f"{rate:,.0f} images/s")
            if self.step == current.steps < self.train_loader.steps_per_epoch:
                skip_to_next_epoch(self.train_loader)  # so that each pass begins with an order of its own
                break
            if self.step % self.config.checkpoint_every == 0 and self.step < current.steps:
                self._flush(current)
                self._save_checkpoint()
        self._flush(current)
        seconds, images = time.perf_counter() - started, (self.step - first) * self.config.data.batch_size
        self._keep_time(current.stage, seconds, images)
        self._end_pass(current, images / seconds, done + self.step)

    def _one_step(self, stage: Stage, batch: Batch) -> None:
        """One update on a batch; in an interleaved search, the policy's and then the student's."""
        reseed(self.config.seed, 3, self.accelerator.process_index, self.pass_index, self.step)
        batch = self.mixing[stage](batch)
        if stage == "student" and policy_learns(self.config, self.updates["student"].step_count):
            self._update("search", batch)
        self._update(stage, batch)

    def _update(self, stage: Stage, batch: Batch) -> None:
        with self.stopwatch.measure(stage):
            report = self.updates[stage].step(batch)
        self._pending.setdefault(stage, []).append((self.step, batch.indices, report))

    def _keep_time(self, stage: Stage, seconds: float, images: int) -> None:
        """Add a pass's seconds to the student's and the search's, whose steps may be within the student's pass."""
        searching = self.stopwatch.read().get("search", 0.0)
        if stage == "search":
            self.clock["search_seconds"] += seconds
        elif stage == "student":
            self.clock["search_seconds"] += searching
            self.clock["student_seconds"] += seconds - searching
            self.clock["student_images"] += images

    def _settle(self, stage: Stage) -> None:
        """A teacher that no longer learns is frozen for good."""
        if stage != "teacher" and self.config.distillation.teacher:
            self.updates.pop("teacher", None)
            self.teacher.eval().requires_grad_(False)

    def _end_pass(self, current: Pass, rate: float, done: int) -> None:
        note = f"{rate:,.0f} images/s"
        line: dict[str, Any] = {
            "stage": current.stage,
            "epoch": current.epoch,
            "mean_loss": self._pass_loss / self.step,
            "images_per_second": rate,
        }
        if current.stage == "search" or (current.stage == "student" and search_of(self.config) == "interleaved"):
            self.history.append(self.policy.learned())
            line["policy"] = {row.operation: [row.probability, row.level] for row in self.history[-1]}
            line["search_share"] = self._search_share()
            if self._search_ends() and not self.dry:
                networks = self.teacher, self.student
                gap = confidence_gaps(self.augmenter, *networks, self.test_loader, self.accelerator, self.config.seed)
                self.gaps.append({"epoch": current.epoch, **gap})
                line["confidence_on_test_images"] = self.gaps[-1]
        judged = self._end_epoch(current)
        if judged is not None:
            line["accuracy"] = judged
            note += f", accuracy {100 * judged:.1f} %"
        self.reporter.metric(**line)
        self.reporter.advance(current.stage, done, note)
        self.pass_index, self.step, self._pass_loss = self.pass_index + 1, 0, 0.0

    def _end_epoch(self, current: Pass) -> float | None:
        """Judge the student when it is due, and the teacher once it has learned; the accuracy, 0..1."""
        if current.stage == "student":
            every, number = self.config.evaluate_every, current.epoch + 1
            if number % every and number < self.config.student_training.epochs and not self.dry:
                return None
            self.accuracies.append(self._judge(self.updates["student"].outcome))
            return self.accuracies[-1]
        if not current.ends_teacher:
            return None
        self.teacher.load_state_dict(self.updates["teacher"].outcome.state_dict())
        self.teacher_accuracy = self._judge(self.teacher)
        if self.accelerator.is_main_process:
            save_weights(self.teacher, self.folder / "teacher.safetensors", self.config.teacher.name)
        return self.teacher_accuracy

    def _judge(self, network: nn.Module) -> float:
        for buffer in network.buffers():  # batch-norm statistics that each rank kept for itself
            broadcast(buffer)
        batches = DRY_STEPS if self.dry else None
        return accuracy(network, self.test_loader, self.config.data, self.accelerator, batches)

    def _search_ends(self) -> bool:
        """Whether the pass that was just done is the last of a search; an interleaved one ends with the run."""
        following = self.passes[self.pass_index + 1 : self.pass_index + 2]
        if search_of(self.config) == "interleaved":
            return not following
        return not following or following[0].stage != "search" or following[0].opens_search

    def _flush(self, current: Pass) -> None:
        """Read what the devices have computed since the last time, refuse NaN, and write lines of metrics."""
        for stage, pending in self._pending.items():
            names = list(pending[0][2])
            own = torch.stack([torch.stack([report[name] for name in names]) for _, _, report in pending])
            values = self.accelerator.reduce(own, "mean").cpu()
            if not values.isfinite().all():
                self._stop_at_nan(stage, current.epoch, pending, own.isfinite().all(1).tolist())
            means = dict(zip(names, values.double().mean(0).tolist(), strict=True))
            if stage == current.stage:
                self._pass_loss += means["loss"] * len(values)
            self.reporter.metric(stage=stage, epoch=current.epoch, step=self.step, **means)
        self._pending.clear()

    def _stop_at_nan(self, stage: Stage, epoch: int, pending: list, finite: list[bool]) -> None:
        """Every rank stops; those that made the NaN name the batch."""
        step, indices, _ = pending[finite.index(False) if False in finite else 0]
        paths = [self.train_loader.dataset.path(i) for i in indices]
        where = f"the batch of {', '.join(paths[:3])} and {max(len(paths) - 3, 0)} more images"
        flags = "policy" if stage == "search" else f"{stage}_training.optimizer"
        raise UserError(
            f"the loss is not finite at step {step} of {stage} epoch {epoch}, in "
            f"{'a batch of another process' if all(finite) else where}. Lower --{flags}.learning_rate, or look at "
            f"these images; checkpoints from before are in {self.folder / 'checkpoints'}"
        )

    def _save_checkpoint(self) -> None:
        """Everything that the rest of the run depends on. The ranks hold the same state, so the main process writes."""
        if not self.accelerator.is_main_process:
            return
        state = {
            "pass_index": self.pass_index,
            "step": self.step,
            "updates": {stage: update.state_dict() for stage, update in self.updates.items()},
            "loader": self.train_loader.state_dict(),
            "history": [[dataclasses.asdict(row) for row in rows] for rows in self.history],
            "accuracies": self.accuracies,
            "gaps": self.gaps,
            "teacher_accuracy": self.teacher_accuracy,
            "clock": self.clock,
            "pass_loss": self._pass_loss,
            "metrics_position": self.reporter.position(),
        }
        checkpoint.save(self.folder / "checkpoints", f"{self.pass_index:05}-{self.step:07}", state)

    def _finish(self) -> dict[str, Any]:
        result = self._result()
        self.reporter.close()
        if self.accelerator.is_main_process:
            fingerprint = self.train_loader.dataset.fingerprint
            learned = PolicyFile.of_run(self.config, self.history, self.policy.learned(), fingerprint, result)
            learned.write(self.folder / "policy.json")
            save_weights(self.updates["student"].outcome, self.folder / "student.safetensors", self.config.student.name)
            (self.folder / "result.json").write_text(json.dumps(result, indent=2) + "\n")
            if len(self.history) > 1:
                plot_policy(self.history, self.folder / "policy.png")
        if not self.quiet:
            self._show(result)
        return result

    def _result(self) -> dict[str, Any]:
        seconds = self.clock["student_seconds"]
        return {
            "teacher_accuracy": self.teacher_accuracy,
            "student_accuracy": self.accuracies[-1] if self.accuracies else None,
            "student_best_accuracy": max(self.accuracies, default=None),
            "test_images": len(self.test_loader.dataset),
            "confidence_on_test_images": self.gaps,
            "images_per_second": self.clock["student_images"] / seconds if seconds else None,
            "search_share": self._search_share(),
            "wall_seconds": self.clock["seconds"],
            "seed": self.config.seed,
            "processes": self.accelerator.num_processes,
        }

    def _search_share(self) -> float | None:
        """The search's share of the time that search and student take together, 0..1."""
        seconds = self.clock["search_seconds"] + self.clock["student_seconds"]
        return self.clock["search_seconds"] / seconds if seconds else None

    def _show(self, result: dict[str, Any]) -> None:
        if len(self.history) > 1:
            self.reporter.say(policy_table(self.history[0], self.history[-1]))
            self.reporter.say(f"the search took {100 * result['search_share']:.0f} % of its and the student's time")
        for role in ("teacher", "student"):
            value = result[f"{role}_accuracy"]
            if value is not None and not self.dry:
                self.reporter.say(f"{role} accuracy on {result['test_images']:,} test images: {100 * value:.2f} %")
        if self.gaps:
            points = [[100 * gap[name]["gap"] for name in ("trained", "untrained")] for gap in self.gaps[-5:]]
            self.reporter.say(
                "confidence on augmented test images, teacher's minus student's, in points, after each search (in "
                f"brackets: untrained policy): {', '.join(f'{after:.1f} ({before:.1f})' for after, before in points)}"
            )
        kept = "two steps of everything went well; nothing is kept" if self.dry else f"everything is in {self.folder}"
        self.reporter.say(f"{result['wall_seconds']:.0f} s; {kept}")

    def _steps_before(self, pass_index: int, stage: str) -> int:
        """Steps of a stage in the passes before one."""
        return sum(one.steps for one in self.passes[:pass_index] if one.stage == stage)
