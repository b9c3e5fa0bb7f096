"""The interface of a task. Nothing outside `tasks` depends on more than this."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from torch import Tensor, nn

from tst_fast.config.schema import TrainingConfig
from tst_fast.errors import Finding
from tst_fast.policy.augmenter import Geometry
from tst_fast.tasks.metrics import Evaluator
from tst_pipelines import (
    Batch,
    Dataset,
    FitAndPad,
    Inspection,
    Loader,
    ResizeCenterCrop,
    Targets,
    UnlabelledBatch,
    Whole,
)

Role = Literal["teacher", "student"]
Shown = tuple[Tensor, Targets]
"""Images, uint8 [B, H, W, 3], and their targets."""

Answered = tuple[UnlabelledBatch, Any]
"""Images, and a network's output for them."""


@dataclass(frozen=True)
class Metric:
    """A score of a network on held-out images, in 0..1; more is better.

    Attributes:
        name: its key in result.json and metrics.jsonl, such as "accuracy".
        title: for people, such as "mean IoU".
        guessed: what of, images or pixels, a guess among C classes has 1 / C right; None: it scores nothing.
    """

    name: str
    title: str
    guessed: Literal["images", "pixels"] | None = "images"

    def of_a_guess(self, classes: int, images: int) -> float:
        """The highest score, 0..1, that may be a guess's.

        Of images within three standard errors, at most half of the way to 1; of pixels that of the best single answer.
        """
        if self.guessed is None:
            return 0.0
        chance = 1 / classes
        spread = (chance * (1 - chance) / images) ** 0.5 if self.guessed == "images" else 0.0
        return min(chance + 3 * spread, (1 + chance) / 2)


@dataclass(frozen=True)
class Splits:
    """Images to learn from, and images to evaluate on."""

    train: Dataset
    test: Dataset


@dataclass(frozen=True)
class Decisions:
    """What the targets ask, as a table: one choice among C classes in each row (an image, a pixel, an object).

    It depends on the targets alone, so that a teacher's and a student's answers have the same rows. No rows at all are
    legal: every loss is then 0, with a graph.

    Attributes:
        labels: int64 [N], or a distribution over classes, floating [N, C].
        weights: floating [N], not negative, their sum at most 1; None: every row counts the same.
        rows: where in a network's output the rows are; the task's own business.
    """

    labels: Tensor
    weights: Tensor | None = None
    rows: Any = None


class Task(Protocol):
    """Recognition, detection or segmentation: its data, its networks, and what their answers mean.

    Made from a configuration and an `Accelerator`. A network's output is of the task's own type; the loop hands it on.
    """

    name: ClassVar[str]
    hub_name: ClassVar[str]
    """Hugging Face's name of the task, a `pipeline_tag`."""
    metrics: ClassVar[Sequence[Metric]]
    """The first is the headline: what is shown, compared, and expected of a checkpoint."""
    composes_warps: ClassVar[bool]
    """Whether targets have places in the image, so that an image's warps must be one affine map (see `Augmenter`)."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the training images, in pixels."""
        ...

    def check(self) -> None:
        """Refuse a configuration that cannot work for this task, before anything is loaded.

        Raises:
            UserError: the message names the flag and the remedy.
        """
        ...

    def splits(self) -> Splits:
        """The images that the configuration names.

        Raises:
            UserError, tst_pipelines.DataError: they are not there, or not as they should be.
        """
        ...

    def inspection(self) -> Inspection:
        """What `tst-fast verify-data` looks at: the files that the configuration names.

        Raises:
            UserError, tst_pipelines.DataError: they are not there.
        """
        ...

    def training_loader(self, dataset: Dataset, seed: int) -> Loader:
        """Shuffled and cropped batches, each rank its share."""
        ...

    def evaluation_loader(self, dataset: Dataset) -> Loader:
        """Each image once over all ranks, in order."""
        ...

    def mixing(self, training: TrainingConfig, dataset: Dataset) -> Callable[[Batch], Batch]:
        """What happens to a batch before anything learns from it: mixup, cutmix, smoothing, or nothing."""
        ...

    def network(self, role: Role, dataset: Dataset) -> nn.Module:
        """Images [B, 3, H, W], normalised as the network was trained, to its output; weights fresh or published.

        Raises:
            UserError: an unknown name, or arguments that it does not take.
        """
        ...

    def check_output(self, output: Any, role: Role, classes: int) -> None:
        """Refuse a network whose output for two images is not what this task's networks put out.

        Raises:
            UserError: the message names the flag, what there is and what there should be.
        """
        ...

    def check_pair(self, student: nn.Module, teacher: nn.Module, classes: int) -> None:
        """Refuse a student that cannot learn from this teacher as the configuration says, before anything is trained.

        Raises:
            UserError: the message names the flag and the remedy.
        """
        ...

    def kept(self, network: nn.Module) -> nn.Module:
        """What of a trained network is evaluated and saved, sharing its weights: all but what only helps training."""
        ...

    @property
    def evaluation_transform(self) -> ResizeCenterCrop | Whole | FitAndPad:
        """What becomes of an image before a network is evaluated on it."""
        ...

    def predict(self, network: nn.Module, images: Tensor) -> Any:
        """A network's output for test images of any size, floating [B, 3, H, W], normalised."""
        ...

    def plain(self, output: Any, size: tuple[int, int]) -> dict[str, Tensor]:
        """A network's output as tensors that mean something to other programs, by name.

        Args:
            output: of the network itself, not of `predict`.
            size: height and width of the images.

        Raises:
            UserError: it cannot be told in tensors whose sizes depend on those of the images alone.
        """
        ...

    def write_predictions(
        self, files: Sequence[str], answers: Iterable[Answered], classes: Sequence[str], folder: Path
    ) -> None:
        """Write what a network answers to images without targets, under the images' names.

        Args:
            files: names of all images that are going to be answered, relative to their folder; those that cannot be
                read are missing in `answers`.
            answers: images and outputs of `predict`, in the order of `files`; taken one by one, as they are made.
            classes: names.
            folder: where to; it is there, and empty.

        Raises:
            UserError: two answers would have one name.
        """
        ...

    def moved(self, targets: Targets, geometry: Geometry) -> Targets:
        """The targets of images that a draw has moved, for the student's training."""
        ...

    def decisions(self, targets: Targets, geometry: Geometry | None = None) -> Decisions:
        """What the targets ask; with a geometry, of images that it has moved, in the search: differentiable in it."""
        ...

    def answers(self, output: Any, decisions: Decisions) -> Tensor:
        """A network's logits, float32 [N, C], to the decisions."""
        ...

    def parts(self, output: Any, count: int) -> Sequence[Any]:
        """The outputs of one forward pass over `count` batches of one size, one after the other."""
        ...

    def supervised(self, output: Any, targets: Targets) -> Tensor:
        """The task's own loss, from the targets alone: a scalar, the mean over the images."""
        ...

    def imitation(self, student: Any, teacher: Any, decisions: Decisions, answers: tuple[Tensor, Tensor]) -> Tensor:
        """How far the student's output is from the teacher's, weighed as the configuration says: a scalar.

        Args:
            student: its output.
            teacher: its output for the same images.
            decisions: what their targets ask.
            answers: the student's and the teacher's to these, as `answers` gives them.
        """
        ...

    def evaluator(self, dataset: Dataset) -> Evaluator:
        """What counts over the batches of one evaluation of this data set."""
        ...

    def checks(self, splits: Splits) -> Iterator[Finding]:
        """What the doctor finds in this task's data."""
        ...

    def absent(self, splits: Splits) -> str:
        """Classes without a training example, as far as can be told in seconds, and what to do; empty without any."""
        ...

    def scrambled(self, output: Any) -> Any:
        """Other answers of the same form, always the same: whether a loss depends on them is what the doctor asks."""
        ...

    def confidences(self, output: Any, targets: Targets) -> Tensor:
        """Of each image, how sure an output is of the truth: floating [B], 0..1."""
        ...

    def answered(self, output: Any) -> Tensor | None:
        """The class that each image is taken for, int64 [B]; None where `pictures` draws the answers in."""
        ...

    def pictures(self, images: Tensor, targets: Targets, output: Any) -> Sequence[np.ndarray]:
        """For the report: uint8 [H, W, 3] for each image uint8 [B, H, W, 3], with a network's answer drawn in."""
        ...

    def draw_answers(self, file: Path, plain: Shown, outputs: Mapping[str, Any], augmented: Shown) -> None:
        """Write a PNG for the end of a run, if there is something to draw.

        Args:
            file: where to.
            plain: test images and their targets.
            outputs: of the networks for them, by role.
            augmented: the same images as the policy augments them, and their targets.
        """
        ...
