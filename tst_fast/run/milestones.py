"""The work between two passes: evaluate networks, examine what a search did, and plan the next."""

from pathlib import Path

from torch import nn

from tst_fast.errors import printable
from tst_fast.models import save_weights
from tst_fast.ranks import share_buffers
from tst_fast.run.announcer import Announcer
from tst_fast.run.artefacts import best_scores
from tst_fast.run.evaluate import evaluate
from tst_fast.run.gradient_noise import Verdict
from tst_fast.run.held_out_gap import held_out_gaps
from tst_fast.run.pictures import draw_search, fixed_images
from tst_fast.run.plan import DRY_STEPS, Pass, search_ends, search_is_due, search_of
from tst_fast.run.progress import Progress
from tst_fast.run.session import Session
from tst_fast.tasks.task import Role


class Milestones:
    """Ends passes; all ranks do so together.

    Args:
        session: of the run.
        progress: of the run: takes what is found.
        announcer: tells it.
        folder: the run's: takes the teacher, and pictures.
    """

    def __init__(self, session: Session, progress: Progress, announcer: Announcer, folder: Path) -> None:
        self.session, self.progress, self.announcer, self.folder = session, progress, announcer, folder

    def begin(self) -> None:
        """Say what the data lacks; a teacher that came with weights is evaluated before anything else, once."""
        teacher = self.session.teacher
        if self.progress.global_step == 0:
            self._look_at_data()
        if teacher is not None and self.session.learners.teacher is None and self.progress.teacher_scores is None:
            self.progress.teacher_scores = self._evaluate("teacher", teacher, Pass("teacher", 0, 0))
            self._look_at_teacher()

    def end_pass(self, current: Pass) -> None:
        """Do what is due after a pass."""
        config = self.session.config
        share_buffers(self.session.student)  # for the search, and to be as they are in a run that goes on from here
        if current.stage == "search" or (current.stage == "student" and search_of(config) == "interleaved"):
            self._end_search_pass(current)
        if current.stage == "student":
            self._end_student_epoch(current)
        if current.ends_teacher:
            self._keep_teacher(current)

    def _end_search_pass(self, current: Pass) -> None:
        session, progress = self.session, self.progress
        progress.history.append(session.policy.learned())
        self.announcer.policy_moved(current, progress.history[-1])
        if session.dry or not search_ends(session.config, session.passes, progress.pass_index):
            return
        gap = held_out_gaps(session)
        progress.gaps.append({"epoch": current.epoch, **gap})
        pictures, confidences, answers = {}, {}, {}
        batch = fixed_images(session)
        if session.accelerator.is_main_process:
            pictures, confidences, answers = draw_search(session, batch, self.folder, len(progress.gaps) - 1)
        signal = session.learners.require_search().signal.statistics()
        warnings = Verdict.of(signal, session.policy).warnings(session.config.policy)
        below = [each["trained"]["gap"] < 0 for each in progress.gaps]
        if below[-1] and sum(below) == 1:
            warnings.append(
                "on augmented test images the student is surer of the true classes than the teacher: are the teacher's "
                "classes in the order of the data's?"
            )
        found = {"gap": gap, "pictures": pictures, "confidences": confidences, "answers": answers}
        self.announcer.search_ended(current, **found, signal=signal, warnings=warnings)

    def _end_student_epoch(self, current: Pass) -> None:
        session, progress, config = self.session, self.progress, self.session.config
        number = current.epoch + 1
        last = number >= config.student_training.epochs
        if number % config.evaluate_every == 0 or last or session.dry:
            scores = self._evaluate("student", session.learners.student.evaluated, current)
            progress.student_scores.append({"epoch": current.epoch, **scores})
            if not session.dry:
                self._keep_best(current.epoch)
        if search_is_due(config, progress.pass_confidence / progress.step, len(progress.searches)):
            progress.searches.append(number)
            session.plan_passes(progress.searches)

    def _keep_best(self, epoch: int) -> None:
        """Write the student's weights if they are the best so far: `student_best.safetensors`."""
        session = self.session
        if session.accelerator.is_main_process and best_scores(session, self.progress)["epoch"] == epoch:
            name, classes = session.config.student.name, session.splits.train.classes
            file = self.folder / "student_best.safetensors"
            save_weights(session.learners.student.evaluated, file, name, classes, epoch)

    def _keep_teacher(self, current: Pass) -> None:
        """A teacher that has learned is its moving average, if it has one; evaluated and written once."""
        session, teacher = self.session, self.session.require_teacher()
        assert session.learners.teacher is not None  # until the next pass
        teacher.load_state_dict(session.learners.teacher.evaluated.state_dict())
        self.progress.teacher_scores = self._evaluate("teacher", teacher, current)
        self._look_at_teacher()
        if session.accelerator.is_main_process:
            name, classes = session.config.teacher.name, session.splits.train.classes
            save_weights(teacher, self.folder / "teacher.safetensors", name, classes)

    def _look_at_teacher(self) -> None:
        """Warn of a teacher that is no better than chance."""
        session, scores = self.session, self.progress.teacher_scores
        metric, classes = session.task.metrics[0], len(session.splits.test.classes)
        assert scores is not None  # it was just evaluated
        score = scores[metric.name]
        if classes > 1 and score <= metric.of_a_guess(classes, len(session.splits.test)):
            self.announcer.noticed(
                f"the teacher is no better than chance ({metric.title} {100 * score:.1f} % with {classes} classes): "
                "what it teaches is wrong. `tst-fast doctor` looks for why"
            )

    def _look_at_data(self) -> None:
        """Warn of a single class, and of classes without a training example."""
        task, splits = self.session.task, self.session.splits
        classes = splits.train.classes
        if task.metrics[0].of_a_guess(len(classes), len(splits.test)) == 1:
            self.announcer.noticed(f"there is one class, {printable(classes[0])}: its labels teach nothing")
        if absent := task.absent(splits):
            self.announcer.noticed(absent)

    def _evaluate(self, role: Role, network: nn.Module, current: Pass) -> dict[str, float]:
        """The scores of a network on the test images."""
        share_buffers(network)
        session, batches = self.session, DRY_STEPS if self.session.dry else None
        found = evaluate(network, session.test_loader, session.task, session.config.data, session.accelerator, batches)
        self.announcer.evaluated(current, role, found)
        confusion = None if found.confusion is None else found.confusion.tolist()
        self.progress.evaluations[role] = {"by_class": found.by_class, "confusion": confusion}
        return found.scores
