"""The losses that networks are trained with: from labels alone, or from a teacher (TST, section 3.3).

Each is called with (model, batch) and returns a scalar loss and scalars to report.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tst_fast.config.data import DataConfig
from tst_fast.config.schema import Config
from tst_fast.losses.features import feature_distance
from tst_fast.losses.search import confidence
from tst_fast.models.features import FeaturedOutput
from tst_fast.policy.augmenter import Augmenter
from tst_fast.ranks import Ranks
from tst_fast.run.images import form_of, memory_format_of, size_of
from tst_fast.tasks.task import Task
from tst_kernels import normalise
from tst_pipelines import Batch, Targets


class FromLabels:
    """The task's own loss on plain images.

    Args:
        task: what is asked.
        data: mean and std.
    """

    def __init__(self, task: Task, data: DataConfig) -> None:
        self.task, self.data = task, data

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and nothing else to report."""
        output = model(normalise(batch.images, self.data.mean, self.data.std))
        return self.task.supervised(output, batch.targets), {}


class FromTeacher:
    """Distillation on plain images, or, with an augmenter, half on what it makes of them and half on plain ones.

    Args:
        task: what is asked.
        config: mean and std, and the loss; where it has features, teacher and student return them, as
            `features.WithFeatures` does.
        accelerator: for the teacher's autocast; a prepared model has its own.
        teacher: frozen, in eval mode, on the device.
        augmenter: applies the policy; None leaves it out.
    """

    def __init__(
        self, task: Task, config: Config, accelerator: Ranks, teacher: nn.Module, augmenter: Augmenter | None
    ) -> None:
        self.task, self.data, self.config, self.accelerator = task, config.data, config.loss, accelerator
        self.teacher, self.augmenter = teacher, augmenter
        self.memory_format = memory_format_of(teacher)

    def __call__(self, model: Callable[[Tensor], Any], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; the student's mean confidence on plain images, and both networks' on augmented ones."""
        images, targets = self._images(batch)
        student, student_features = _with_features(model(images))
        teacher, teacher_features = self._teach(images)
        halves = zip(*(self.task.parts(output, len(targets)) for output in (student, teacher)), targets, strict=True)
        learned = [self._half(*half) for half in halves]
        losses, confidences = [loss for loss, _ in learned], [confidences for _, confidences in learned]
        loss = sum(losses[1:], losses[0]) / len(losses)
        pairs = zip(self.config.features, student_features, teacher_features, strict=True)
        for pair, one, other in pairs:
            loss = loss + pair.weight * feature_distance(one, other, self.config.feature_loss)
        scalars = {"plain_student_confidence": confidences[-1]["student_confidence"]}
        return loss, scalars if self.augmenter is None else {**scalars, **confidences[0]}

    def _half(self, student: Any, teacher: Any, targets: Targets) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss on the augmented or the plain images, and both networks' confidence there."""
        asked = self.task.decisions(targets)
        answers = self.task.answers(student, asked), self.task.answers(teacher, asked)
        loss = self.config.cross_entropy_weight * self.task.supervised(student, targets)
        return loss + self.task.imitation(student, teacher, asked, answers), {
            f"{role}_confidence": confidence(logits.detach(), asked.labels, asked.weights)
            for role, logits in zip(("student", "teacher"), answers, strict=True)
        }

    @torch.no_grad()
    def _images(self, batch: Batch) -> tuple[Tensor, list[Targets]]:
        """Normalised plain images, after augmented ones if there is an augmenter; the targets of each half."""
        normalisation = self.data.mean, self.data.std
        form = form_of(batch.images, self.accelerator, self.memory_format, keep_precision=self.task.composes_warps)
        if self.augmenter is None:
            return normalise(batch.images, *normalisation, **form), [batch.targets]
        # Each half is written once, where and as both networks read it.
        shape = (2 * len(batch), len(self.data.mean), *size_of(batch.images))
        images = torch.empty(shape, device=batch.images.device, **form)
        augmented, plain = images.chunk(2)
        _, geometry = self.augmenter(batch.images, batch.sizes, out=augmented)
        normalise(batch.images, *normalisation, out=plain)
        moved = batch.targets if geometry is None else self.task.moved(batch.targets, geometry)
        return images, [moved, batch.targets]

    @torch.no_grad()
    def _teach(self, images: Tensor) -> tuple[Any, list[Tensor]]:
        with self.accelerator.autocast():
            return _with_features(self.teacher(images))


def _with_features(output: Any) -> tuple[Any, list[Tensor]]:
    """The output and, in full precision, the features of a network with or without features."""
    if isinstance(output, FeaturedOutput):
        return output.output, [feature.float() for feature in output.features]
    return output, []
