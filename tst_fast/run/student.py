"""What a network learns from: labels alone, or a teacher, on plain and on augmented images (TST, section 3.3).

Each is called with (model, batch) and returns a scalar loss and scalars to report.
"""

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from tst_fast.config.schema import DataConfig, LossConfig
from tst_fast.losses.distillation import feature_distance, make_loss
from tst_fast.losses.search import confidence
from tst_fast.policy.augmenter import Augmenter
from tst_kernels import normalise
from tst_pipelines import Batch


class FromLabels:
    """Cross-entropy on plain images.

    Args:
        data: mean and std.
    """

    def __init__(self, data: DataConfig) -> None:
        self.data = data

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and nothing else to report."""
        logits = model(normalise(batch.images, self.data.mean, self.data.std)).float()
        return F.cross_entropy(logits, batch.labels), {}


class FromTeacher:
    """Distillation on plain images, or, with an augmenter, half on what it makes of them and half on plain ones.

    Args:
        data: mean and std.
        config: the loss; where it has features, teacher and student return them, as `features.WithFeatures` does.
        accelerator: for the teacher's autocast; a prepared model has its own.
        teacher: frozen, in eval mode, on the device.
        augmenter: applies the policy; None leaves it out.
    """

    def __init__(
        self,
        data: DataConfig,
        config: LossConfig,
        accelerator: Accelerator,
        teacher: nn.Module,
        augmenter: Augmenter | None,
    ) -> None:
        self.data, self.accelerator = data, accelerator
        self.teacher, self.augmenter = teacher, augmenter
        self.loss = make_loss(config)
        self.feature_weights = [pair.weight for pair in config.features]

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and the mean confidence of both networks on the augmented images."""
        images = self._images(batch)
        student, student_features = _parts(model(images))
        teacher, teacher_features = self._teach(images)
        size = len(batch)  # augmented images come first, if there are any
        halves = list(zip(student.split(size), teacher.split(size), strict=True))
        loss = sum(self.loss(*half, batch.labels) for half in halves) / len(halves)
        for weight, one, other in zip(self.feature_weights, student_features, teacher_features, strict=True):
            loss = loss + weight * feature_distance(one, other)
        if self.augmenter is None:
            return loss, {}
        return loss, {
            "teacher_confidence": confidence(teacher[:size], batch.labels),
            "student_confidence": confidence(student[:size].detach(), batch.labels),
        }

    @torch.no_grad()
    def _images(self, batch: Batch) -> Tensor:
        """Normalised plain images, after augmented ones if there is an augmenter."""
        plain = normalise(batch.images, self.data.mean, self.data.std)
        return plain if self.augmenter is None else torch.cat([self.augmenter(batch.images), plain])

    @torch.no_grad()
    def _teach(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        with self.accelerator.autocast():
            return _parts(self.teacher(images))


def _parts(output: Tensor | tuple[Tensor, list[Tensor]]) -> tuple[Tensor, list[Tensor]]:
    """Logits and features in full precision, of a network with or without features."""
    logits, features = output if isinstance(output, tuple) else (output, [])
    return logits.float(), [feature.float() for feature in features]
