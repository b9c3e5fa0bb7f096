"""Semantic segmentation: a class for each pixel."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from tst_fast.config.data import LABEL_MAPS
from tst_fast.config.schema import Config
from tst_fast.errors import Finding, UserError
from tst_fast.losses.dense import cwd, rows
from tst_fast.losses.pixels import IGNORED, cell_labels, cell_weights, pixel_cross_entropy, pixel_weights
from tst_fast.models.frozen import frozen
from tst_fast.models.segmentation import SegmentationNetwork, SegmentationOutput, build_segmenter, without_published
from tst_fast.policy.augmenter import Geometry
from tst_fast.tasks.dense import DenseTask, check_crop, check_dense_options
from tst_fast.tasks.image_grid import draw_grid
from tst_fast.tasks.metrics.segmentation import ConfusionMatrix
from tst_fast.tasks.own_code import check_term, distillation_term, require_logits, shape_or_type
from tst_fast.tasks.segmentation.checks import (
    absent_classes,
    absent_from_training,
    check_batch,
    check_one_size,
    require_labels,
)
from tst_fast.tasks.segmentation.data import inspection, load_splits
from tst_fast.tasks.segmentation.pictures import colour_of, overlaid
from tst_fast.tasks.segmentation.plain_frame import augmented_positions, pulled_back, seen_labels
from tst_fast.tasks.segmentation.predictions import write_predictions
from tst_fast.tasks.segmentation.sliding import slide
from tst_fast.tasks.task import Answered, Decisions, Metric, Role, Shown, Splits
from tst_kernels import box_mask, warp
from tst_pipelines import Dataset, Inspection, Loader, ScaleCropFlip, Targets, Whole


class Segmentation(DenseTask):
    """The `Task` of segmentation: an output is a `SegmentationOutput`, targets are label maps, 255 where ignored.

    The student learns from the cells of its own map, the policy from the pixels of the plain images.
    """

    name = "segmentation"
    hub_name = "image-segmentation"
    metrics = (Metric("mean_iou", "mean IoU", "pixels"), Metric("pixel_accuracy", "pixel accuracy", "pixels"))

    def __init__(self, config: Config, accelerator: Accelerator) -> None:
        super().__init__(config, accelerator)
        self.term = distillation_term(config.loss)
        self.stride, self.aligned = 1, False  # of the student; known when it is made

    def check(self) -> None:
        """See `check_dense_options`."""
        check_dense_options(self.config, LABEL_MAPS, "scale", "label maps")

    def splits(self) -> Splits:
        """See `load_splits` and `require_labels`."""
        splits = load_splits(self.config.data)
        require_labels(splits)
        return splits

    def inspection(self) -> Inspection:
        """See `data.inspection`."""
        return inspection(self.config.data)

    @property
    def training_transform(self) -> ScaleCropFlip:
        """Resized, cropped and mirrored at random."""
        data, (low, high) = self.config.data, self.config.data.scale
        return ScaleCropFlip(self.image_size, (low, high), data.flip, self.fill)

    @property
    def evaluation_transform(self) -> Whole:
        """All of it."""
        return Whole(fill=self.fill)

    def evaluation_loader(self, dataset: Dataset) -> Loader:
        """See `Task`; whole images, of one size in a batch."""
        check_one_size(dataset, self.test_batch_size)
        return super().evaluation_loader(dataset)

    def network(self, role: Role, dataset: Dataset) -> SegmentationNetwork:
        """See `build_segmenter`."""
        config, data, loss = getattr(self.config, role), self.config.data, self.config.loss
        arguments = without_published(config.arguments) if config.checkpoint else config.arguments
        how = config.pretrained, config.takes_new_head(role)
        network = build_segmenter(config.name, len(dataset.classes), arguments, *how)
        check_crop(self.image_size, network.multiple, role)
        if data.window is not None:
            check_crop(_pair(data.window), network.multiple, role, "data.window")
        if role == "student":
            self.classes, self.stride = dataset.classes, network.stride
        if loss.auxiliary_weight == 0 and loss.auxiliary_alpha == 0:
            network = self.kept(network)  # a head that nothing learns from: processes would wait for its gradient
        if role == "student" or not config.trained:
            check_batch(network, self.image_size, self._images_at_once(role), role)
        return network

    def _images_at_once(self, role: Role) -> int:
        """Images over which batch norm computes its statistics in a step of this network's training."""
        config = self.config
        parts = getattr(config, f"{role}_training").accumulate
        views = config.distillation.views if role == "student" else 1
        processes = 1 if config.sync_batch_norm else self.accelerator.num_processes
        return views * config.data.batch_size // (processes * parts)

    def check_output(self, output: SegmentationOutput, role: Role, classes: int) -> None:
        """See `Task`; logits of cells in a `SegmentationOutput`."""
        network = f"--{role}.name {getattr(self.config, role).name}"
        if not isinstance(output, SegmentationOutput):
            wanted = "tst_fast.models.segmentation.SegmentationOutput"
            raise UserError(f"{network} must put out a {wanted}, with logits in it, got {shape_or_type(output)}")
        require_logits(output.logits, (2, classes, None, None), network)

    def check_pair(self, student: nn.Module, teacher: nn.Module, classes: int) -> None:
        """Refuse a term that is none, and auxiliary heads that are not there to learn; note `align_corners`."""
        check_term(self.term, self.config.loss, classes, weighted=True)
        for role, network in (("student", student), ("teacher", teacher)):
            assert isinstance(network, SegmentationNetwork)  # as of `network`
            if self.config.loss.auxiliary_alpha and not network.has_auxiliary:
                raise UserError(
                    f"--loss.auxiliary_alpha needs an auxiliary head, and the {role} has none (--{role}.name, "
                    f"--{role}.arguments, or its checkpoint): set it to 0"
                )
        self.aligned = _aligned(student, self.image_size)

    def kept(self, network: SegmentationNetwork) -> SegmentationNetwork:
        """All but the auxiliary head."""
        return network.without_auxiliary()

    def predict(self, network: nn.Module, images: Tensor) -> SegmentationOutput:
        """For whole images, or a window at a time."""
        data = self.config.data
        if data.window is None:
            return network(images)
        return slide(network, images, _pair(data.window), _pair(data.window_step or data.window))

    def plain(self, output: SegmentationOutput, size: tuple[int, int]) -> dict[str, Tensor]:
        """`logits` of each pixel, [B, C, H, W]."""
        return {"logits": output.resized(output.logits, size)}

    def write_predictions(
        self, files: Sequence[str], answers: Iterable[Answered], classes: Sequence[str], folder: Path
    ) -> None:
        """See `predictions.write_predictions`."""
        write_predictions(files, answers, classes, folder, self.config.data)

    def moved(self, targets: Targets, geometry: Geometry) -> Targets:
        """Label maps warped by the nearest pixel, 255 beyond their border."""
        labels, size = targets.labels, _pair(targets.labels.shape[1:])
        if self.config.policy.cutout == "ignore":
            labels = torch.where(box_mask(geometry.erased, *size), IGNORED, labels)
        return Targets(warp(labels, geometry.theta, "nearest", fill=IGNORED))

    def decisions(self, targets: Targets, geometry: Geometry | None = None) -> Decisions:
        """A row for each cell of the student's map; with a geometry, for each pixel of the plain images.

        Those that are ignored have the weight 0. The rows of `Decisions` give the maps of logits, of an output.
        """
        if geometry is None:
            pixels = _pair(targets.labels.shape[1:])
            size = _pair([-(-side // self.stride) for side in pixels])
            weights = cell_weights(self._weights(targets.labels), size).flatten()
            labels = rows(cell_labels(targets.labels, len(self.classes), size))
            return Decisions(labels, weights, lambda output: output.at_cells(output.logits, size, pixels, self.aligned))
        positions = augmented_positions(geometry.theta, geometry.size)
        keep = self.config.policy.cutout == "keep"
        gone = torch.zeros_like(geometry.erased) if keep else geometry.erased
        seen = seen_labels(targets.labels, positions, gone)
        labels = torch.where(seen == IGNORED, 0, seen).long().flatten()
        return Decisions(labels, self._weights(seen).flatten(), partial(_pulled_back, positions))

    def answers(self, output: SegmentationOutput, decisions: Decisions) -> Tensor:
        """Logits of the cells, or of the pixels."""
        return rows(decisions.rows(output))

    def parts(self, output: SegmentationOutput, count: int) -> Sequence[SegmentationOutput]:
        """Equal parts of the maps."""
        return output.split(len(output.logits) // count)

    def supervised(self, output: SegmentationOutput, targets: Targets) -> Tensor:
        """Cross-entropy of each pixel, and, weighed, that of the auxiliary head."""
        labels, size, weight = targets.labels, _pair(targets.labels.shape[1:]), self.config.loss.auxiliary_weight
        weights = self._weights(labels)
        loss = pixel_cross_entropy(output.resized(output.logits, size), labels, weights)
        if output.auxiliary is None or weight == 0:
            return loss
        return loss + weight * pixel_cross_entropy(output.resized(output.auxiliary, size), labels, weights)

    def imitation(
        self,
        student: SegmentationOutput,
        teacher: SegmentationOutput,
        decisions: Decisions,
        answers: tuple[Tensor, Tensor],
    ) -> Tensor:
        """The distillation term, and channel-wise distillation and that of the auxiliary heads where they are asked."""
        loss, asked = self.config.loss, decisions
        total = loss.alpha * self.term(*answers, asked.labels, asked.weights)
        if loss.cwd_weight:
            of_student, of_teacher = asked.rows(student), asked.rows(teacher)
            assert asked.weights is not None  # `decisions` weighs each cell
            weights = asked.weights.view(len(of_student), *of_student.shape[2:])
            total = total + loss.cwd_weight * cwd(of_student, of_teacher, weights, tau=loss.cwd_tau)
        if loss.auxiliary_alpha:
            of_student, of_teacher = (self.answers(_auxiliary(output), asked) for output in (student, teacher))
            term = self.term(of_student, of_teacher, asked.labels, asked.weights)
            total = total + loss.auxiliary_alpha * term
        return total

    def evaluator(self, dataset: Dataset) -> ConfusionMatrix:
        """Mean IoU, pixel accuracy, and the IoU of each class."""
        return ConfusionMatrix(dataset.classes, self.accelerator.device)

    def checks(self, splits: Splits) -> Iterator[Finding]:
        """Classes without a pixel in a sample of the label maps."""
        yield absent_classes(splits)

    def absent(self, splits: Splits) -> str:
        """Classes without a training pixel in a sample of the label maps."""
        return absent_from_training(splits)

    def scrambled(self, output: SegmentationOutput) -> SegmentationOutput:
        """Random logits."""
        generator = torch.Generator().manual_seed(0)

        def random(logits: Tensor | None) -> Tensor | None:
            return None if logits is None else 5 * torch.randn(logits.shape, generator=generator).to(logits)

        return output._replace(logits=random(output.logits), auxiliary=random(output.auxiliary))

    def confidences(self, output: SegmentationOutput, targets: Targets) -> Tensor:
        """The mean probability of the true class over an image's labelled pixels; 0 without any."""
        labels = targets.labels
        probabilities = output.resized(output.logits, _pair(labels.shape[1:])).softmax(dim=1)
        chosen = torch.where(labels == IGNORED, 0, labels).long().unsqueeze(1)
        weights = len(labels) * self._weights(labels)
        return (weights * probabilities.gather(1, chosen).squeeze(1)).sum((1, 2))

    def answered(self, output: SegmentationOutput) -> None:
        """Nothing: an answer is a map."""

    def pictures(self, images: Tensor, targets: Targets, output: SegmentationOutput) -> Sequence[np.ndarray]:
        """The images with the answers over them, in colours."""
        return overlaid(images, output.label_map(_pair(images.shape[1:3])))

    def draw_answers(
        self, file: Path, plain: Shown, outputs: Mapping[str, SegmentationOutput], augmented: Shown
    ) -> None:
        """A row for each image: itself, its labels, the answers, and the augmented image with its labels."""
        images, targets = plain
        columns = {"image": list(images[..., :3].cpu().numpy()), "labels": overlaid(images, targets.labels)}
        columns |= {role: self.pictures(images, targets, output) for role, output in outputs.items()}
        columns["augmented"] = overlaid(augmented[0], augmented[1].labels)
        present = targets.labels.unique().tolist()
        legend = {self.classes[label]: colour_of(label) for label in present if label != IGNORED}
        draw_grid(file, columns, legend)

    def _weights(self, labels: Tensor) -> Tensor:
        return pixel_weights(labels, self.config.loss.pixel_weights)


def _aligned(network: nn.Module, size: tuple[int, int]) -> bool:
    """`align_corners` of a network's outputs."""
    images = torch.zeros(1, 3, *size, device=next(network.parameters()).device)
    with frozen(network), torch.no_grad():
        return network.forward(images).align_corners  # not by a call, which would compile a network that is to be


def _pair(size: Sequence[int]) -> tuple[int, int]:
    """Height and width."""
    height, width = size
    return height, width


def _pulled_back(positions: Tensor, output: SegmentationOutput) -> Tensor:
    """The logits of augmented images at the pixels of the plain ones: [B, C, H, W]."""
    return pulled_back(output.logits, positions, output.align_corners)


def _auxiliary(output: SegmentationOutput) -> SegmentationOutput:
    """The auxiliary head's logits as an output of their own."""
    assert output.auxiliary is not None  # `check_pair` has seen to it
    return output._replace(logits=output.auxiliary)
