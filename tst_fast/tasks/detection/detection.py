"""Object detection: which objects are where."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tst_fast.errors import Finding, UserError
from tst_fast.models.detection import DenseOutput, DetectionOutput, Detector, build_detector
from tst_fast.policy.augmenter import Geometry
from tst_fast.tasks.dense import DenseTask
from tst_fast.tasks.detection.checks import absent_classes, absent_from_training, check_options, check_pair, look
from tst_fast.tasks.detection.data import inspection, load_splits
from tst_fast.tasks.detection.imitation import dense_distance, two_stage_distance
from tst_fast.tasks.detection.objects import moved_objects, object_weights, score_logits
from tst_fast.tasks.detection.pictures import with_detections, with_targets
from tst_fast.tasks.detection.predictions import write_predictions
from tst_fast.tasks.image_grid import draw_grid
from tst_fast.tasks.metrics.detection import CocoScore
from tst_fast.tasks.own_code import require_logits
from tst_fast.tasks.task import Answered, Decisions, Metric, Role, Shown, Splits
from tst_pipelines import Dataset, FitAndJitter, FitAndPad, Inspection, Targets


class Detection(DenseTask):
    """The `Task` of detection: an output is a `DetectionOutput`, targets are boxes and labels in rows, -1 for none.

    What is decided is an object: whether it is found, of its class and where it is. A network is asked where it finds
    it best, so that teacher and student may look at different places.
    """

    name = "detection"
    hub_name = "object-detection"
    metrics = (
        Metric("box_ap", "box AP", guessed=None),
        Metric("box_ap50", "box AP at IoU 0.5", guessed=None),
        Metric("box_ap75", "box AP at IoU 0.75", guessed=None),
    )

    def check(self) -> None:
        """See `check_options`; and that what computes the score is there."""
        check_options(self.config)
        CocoScore.require()

    def splits(self) -> Splits:
        """See `load_splits`."""
        return load_splits(self.config.data)

    def inspection(self) -> Inspection:
        """See `data.inspection`."""
        return inspection(self.config.data)

    @property
    def training_transform(self) -> FitAndJitter:
        """Fitted into the canvas, resized, cropped and mirrored at random."""
        data, (low, high) = self.config.data, self.config.data.scale
        return FitAndJitter(self.image_size, (low, high), data.flip, self.fill)

    @property
    def evaluation_transform(self) -> FitAndPad:
        """See `Task`; whole images, fitted into the canvas."""
        return FitAndPad(self.image_size, self.fill)

    def network(self, role: Role, dataset: Dataset) -> Detector:
        """See `build_detector`."""
        chosen, self.classes = getattr(self.config, role), dataset.classes
        how = chosen.pretrained, chosen.takes_new_head(role)
        network = build_detector(chosen.name, dataset.classes, chosen.arguments, *how)
        look(network, self.image_size, role)
        return network

    def check_output(self, output: DetectionOutput, role: Role, classes: int) -> None:
        """See `Task`; logits of each anchor, which a detector of one's own may have more or fewer of than its head."""
        if isinstance(output, DenseOutput):
            wanted = 2, len(output.anchors), classes
            require_logits(output.logits, wanted, f"--{role}.name {getattr(self.config, role).name}")

    def check_pair(self, student: Detector, teacher: Detector, classes: int) -> None:
        """See `check_pair`."""
        outputs = look(student, self.image_size, "student"), look(teacher, self.image_size, "teacher")
        check_pair(self.config, *outputs)

    def kept(self, network: Detector) -> Detector:
        """All of it."""
        return network

    def predict(self, network: nn.Module, images: Tensor) -> DetectionOutput:
        """One forward pass."""
        return network(images)

    def plain(self, output: DetectionOutput, size: tuple[int, int]) -> dict[str, Tensor]:
        """Of every place, before suppression: `scores` of each class, 0..1 [B, A, C]; `boxes` in pixels, [B, A, 4]."""
        if not isinstance(output, DenseOutput):
            raise UserError(
                "two-stage detectors cannot be exported to ONNX, as the number of their regions varies: export one of "
                "fcos or retinanet"
            )
        return {"scores": output.scores, "boxes": output.boxes}

    def write_predictions(
        self, files: Sequence[str], answers: Iterable[Answered], classes: Sequence[str], folder: Path
    ) -> None:
        """See `predictions.write_predictions`."""
        write_predictions(files, answers, classes, folder)

    def moved(self, targets: Targets, geometry: Geometry) -> Targets:
        """See `moved_objects`."""
        return moved_objects(targets, geometry, self.config.policy)

    def decisions(self, targets: Targets, geometry: Geometry | None = None) -> Decisions:
        """A row for each place in the table of objects; those that there are count the same, the others nothing."""
        if geometry is not None:
            targets = self.moved(targets, geometry)
        found = torch.ones(targets.labels.numel(), dtype=torch.int64, device=targets.labels.device)
        return Decisions(found, object_weights(targets.labels).flatten(), targets)

    def answers(self, output: DetectionOutput, decisions: Decisions) -> Tensor:
        """How well each object is found, as logits of not and of found."""
        return score_logits(self._scores(output, decisions.rows))

    def parts(self, output: DetectionOutput, count: int) -> Sequence[DetectionOutput]:
        """Equal parts of the answers."""
        images = len(output.logits) if isinstance(output, DenseOutput) else len(output.proposals)
        return output.split(images // count)

    def supervised(self, output: DetectionOutput, targets: Targets) -> Tensor:
        """The detector's own loss, as torchvision has it."""
        return output.loss(targets)

    def imitation(
        self,
        student: DetectionOutput,
        teacher: DetectionOutput,
        decisions: Decisions,
        answers: tuple[Tensor, Tensor],
    ) -> Tensor:
        """Classes and boxes, as far as the configuration asks for them; see `imitation`."""
        loss = self.config.loss
        if loss.alpha == loss.box_weight == 0:
            return decisions.rows.boxes.new_zeros(())
        if isinstance(student, DenseOutput):
            assert isinstance(teacher, DenseOutput)  # `check_pair` refused others
            return dense_distance(student, teacher, loss)
        assert not isinstance(teacher, DenseOutput)
        return two_stage_distance(student, teacher, loss)

    def evaluator(self, dataset: Dataset) -> CocoScore:
        """Average precision, as COCO counts it."""
        return CocoScore(dataset, self.evaluation_transform)

    def checks(self, splits: Splits) -> Iterator[Finding]:
        """Classes without a box."""
        yield absent_classes(splits)

    def absent(self, splits: Splits) -> str:
        """Classes without a training box."""
        return absent_from_training(splits)

    def scrambled(self, output: DetectionOutput) -> DetectionOutput:
        """Random classes, or features where these are made of them."""
        generator = torch.Generator().manual_seed(0)

        def random(values: Tensor) -> Tensor:
            return 5 * torch.randn(values.shape, generator=generator).to(values)

        if isinstance(output, DenseOutput):
            return output._replace(logits=random(output.logits), regression=random(output.regression).abs())
        return output._replace(features={name: random(feature) for name, feature in output.features.items()})

    def confidences(self, output: DetectionOutput, targets: Targets) -> Tensor:
        """The mean score of an image's objects; 0 without any."""
        present = targets.labels >= 0
        return (self._scores(output, targets) * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)

    def answered(self, output: DetectionOutput) -> None:
        """Nothing: an answer is boxes."""

    def pictures(self, images: Tensor, targets: Targets, output: DetectionOutput) -> Sequence[np.ndarray]:
        """The images with what was found in them."""
        return with_detections(images, output.detections(_sizes(targets, images)), self.classes)

    def draw_answers(self, file: Path, plain: Shown, outputs: Mapping[str, DetectionOutput], augmented: Shown) -> None:
        """A row for each image: itself with its objects, the answers, and the augmented image with its objects."""
        images, targets = plain
        columns: dict[str, Sequence[np.ndarray]] = {"objects": with_targets(images, targets, self.classes)}
        columns |= {role: self.pictures(images, targets, output) for role, output in outputs.items()}
        columns["augmented"] = with_targets(*augmented, self.classes)
        draw_grid(file, columns)

    def _scores(self, output: DetectionOutput, targets: Targets) -> Tensor:
        assert targets.boxes is not None  # as those of detection have
        return output.object_scores(targets.boxes, targets.labels, self.config.policy.quality_weight)


def _sizes(targets: Targets, images: Tensor) -> list[tuple[int, int]]:
    """Height and width of the picture in each image uint8 [B, H, W, 3]."""
    if targets.sizes is None:
        return [(images.shape[1], images.shape[2])] * len(images)
    return [(height, width) for height, width in targets.sizes.tolist()]
