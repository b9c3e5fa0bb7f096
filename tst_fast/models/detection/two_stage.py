"""Two-stage detectors: torchvision's Faster R-CNN.

Never called as torchvision's model is; see `dense`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, concat_box_prediction_layers
from torchvision.ops import box_iou

from tst_fast.losses.boxes import object_score, overlap
from tst_fast.models.detection.anchors import grid_anchors, listed
from tst_fast.models.detection.published import taken_over
from tst_fast.models.precision import in_full_precision
from tst_pipelines import Targets

SAME = 0.5
"""Overlap from which a proposed region is taken to be of an object."""


class TwoStageOutput(NamedTuple):
    """The output of a detector's first stage: features, anchors and the regions that it proposes.

    Attributes:
        features: of each level, floating [B, C, h, w], by name.
        objectness: logits of the anchors, floating [B, A, 1].
        deltas: from the anchors to the proposals, floating [B, A, 4].
        anchors: float32 [A, 4], left, top, right, bottom in pixels.
        proposals: of each image, float32 [P, 4], the best first; without a gradient.
        size: height and width of the images, in pixels.
        detector: what put it out.
    """

    features: dict[str, Tensor]
    objectness: Tensor
    deltas: Tensor
    anchors: Tensor
    proposals: list[Tensor]
    size: tuple[int, int]
    detector: TwoStageDetector

    def split(self, images: int) -> list[TwoStageOutput]:
        """Of each `images` images, one after the other, as torch.Tensor.split."""
        objectness, deltas = self.objectness.split(images), self.deltas.split(images)
        features = {name: feature.split(images) for name, feature in self.features.items()}
        return [
            self._replace(
                features={name: parts[number] for name, parts in features.items()},
                objectness=objectness[number],
                deltas=deltas[number],
                proposals=self.proposals[number * images : (number + 1) * images],
            )
            for number in range(len(objectness))
        ]

    def regions(self, boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """What the second stage says of regions.

        Args:
            boxes: of each image, float32 [R, 4].

        Returns:
            Logits, float32 [sum of R, 1 + C], background first; and each class's box in pixels, [sum of R, 1 + C, 4].
        """
        logits, regression = self._second_stage(boxes)
        return logits, self.detector.roi_heads.box_coder.decode(regression, boxes).view(*logits.shape, 4)

    def loss(self, targets: Targets) -> Tensor:
        """The detector's own loss, as torchvision computes it, with torch's global generator: a scalar."""
        rpn, heads = self.detector.rpn, self.detector.roi_heads
        truth, anchors = listed(targets, first_label=1), [self.anchors] * len(self.proposals)
        labels, matched = rpn.assign_targets_to_anchors(anchors, truth)
        wanted = rpn.box_coder.encode(matched, anchors)
        flat = in_full_precision(self.objectness).flatten(0, 1), in_full_precision(self.deltas).flatten(0, 1)
        of_regions = rpn.compute_loss(*flat, labels, list(wanted))
        regions, _, labels, wanted = heads.select_training_samples(list(self.proposals), truth)
        return torch.stack([*of_regions, *fastrcnn_loss(*self._second_stage(regions), labels, wanted)]).sum()

    @torch.no_grad()
    def detections(self, sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """See `DenseOutput.detections`."""
        answers = self._second_stage(self.proposals)
        found = self.detector.roi_heads.postprocess_detections(*answers, self.proposals, sizes)
        return [
            {"boxes": boxes, "scores": scores, "labels": labels - 1}
            for boxes, scores, labels in zip(*found, strict=True)
        ]

    def object_scores(self, boxes: Tensor, labels: Tensor, quality_weight: float) -> Tensor:
        """See `DenseOutput.object_scores`: of an object, its box and what was proposed for it count as regions."""
        labels = labels.clamp(min=0) + 1
        with torch.no_grad():
            best = self._best_regions(boxes.detach(), labels, quality_weight)
        probability, found = _of_class(*self.regions(list(best)), labels.flatten())
        scores = object_score(probability, overlap(found, boxes.flatten(0, 1)), quality_weight)
        return scores.view_as(labels)

    def _second_stage(self, boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits [sum of R, 1 + C] of regions [R, 4], and from each to each class's box, [sum of R, 4 (1 + C)]."""
        heads = self.detector.roi_heads
        features = {name: in_full_precision(feature) for name, feature in self.features.items()}  # as boxes are
        pooled = heads.box_roi_pool(features, boxes, [self.size] * len(boxes))
        logits, regression = heads.box_predictor(heads.box_head(pooled))
        return in_full_precision(logits), in_full_precision(regression)

    def _best_regions(self, boxes: Tensor, labels: Tensor, quality_weight: float) -> Tensor:
        """The region of the highest score of each object: [B, M, 4]."""
        best = []
        for one, own, wanted in zip(self.split(1), boxes, labels, strict=True):
            regions = torch.cat([own, one.proposals[0].to(own)])
            candidates = box_iou(regions, own) >= SAME
            candidates[: len(own)] |= torch.eye(len(own), dtype=torch.bool, device=own.device)
            used = candidates.any(dim=1)
            regions, candidates = regions[used], candidates[used]
            logits, found = one.regions([regions])
            scores = object_score(
                logits.softmax(dim=1)[:, wanted], overlap(found[:, wanted], own), quality_weight
            ).masked_fill(~candidates, -1)
            best.append(regions[scores.argmax(dim=0)])
        return torch.stack(best)


class TwoStageDetector(nn.Module):
    """Images [B, 3, H, W], normalised, to a `TwoStageOutput`; parameters keep torchvision's names.

    Args:
        model: as torchvision makes it.
    """

    def __init__(self, model: FasterRCNN) -> None:
        super().__init__()
        assert isinstance(model.rpn, RegionProposalNetwork) and isinstance(model.roi_heads, RoIHeads)
        self.backbone: nn.Module = model.backbone
        self.rpn, self.roi_heads = model.rpn, model.roi_heads
        self.classes: int = model.roi_heads.box_predictor.cls_score.out_features - 1

    def own_names(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """See `published.taken_over`."""
        return taken_over(state, self, self.classes)

    def forward(self, images: Tensor) -> TwoStageOutput:
        """See `TwoStageOutput`; of regions there are as many as torchvision proposes in this mode."""
        height, width = images.shape[2:]
        features = self.backbone(images)
        maps = list(features.values())
        by_level = self.rpn.head(maps)
        anchors, levels = grid_anchors(self.rpn.anchor_generator, images, maps)
        objectness, deltas = concat_box_prediction_layers(*(list(each) for each in by_level))
        objectness, deltas = objectness.view(len(images), -1, 1), deltas.view(len(images), -1, 4)
        with torch.no_grad():
            boxes = self.rpn.box_coder.decode(in_full_precision(deltas).flatten(0, 1), [anchors] * len(images))
            proposals, _ = self.rpn.filter_proposals(
                boxes.view(len(images), -1, 4), in_full_precision(objectness), [(height, width)] * len(images), levels
            )
        return TwoStageOutput(features, objectness, deltas, anchors, proposals, (height, width), self)


def _of_class(logits: Tensor, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Of each region its class's probability [R] and box [R, 4]; labels int64 [R], 0 being background."""
    probability = logits.softmax(dim=1).gather(1, labels[:, None]).squeeze(1)
    return probability, boxes.gather(1, labels[:, None, None].expand(-1, 1, 4)).squeeze(1)
