"""Dense (one-stage) detectors: torchvision's FCOS and RetinaNet.

They are never called as torchvision's models are: in eval mode these resize images, whatever they are told, and they
normalise them once more. Here images go through backbone and head as they come.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.ops import remove_small_boxes

from tst_fast.losses.boxes import object_score, overlap
from tst_fast.models.detection.anchors import grid_anchors, listed
from tst_fast.models.detection.published import taken_over
from tst_fast.models.precision import in_full_precision
from tst_pipelines import Targets

SMALLEST_SIDE = 1e-2
"""Pixels that a detected box has on each side, at least; torchvision's, of detectors of two stages."""


class DenseOutput(NamedTuple):
    """A detector's output at each of A locations: the anchors of the cells of all levels.

    Attributes:
        logits: of each class, on its own against background, floating [B, A, C].
        regression: from the anchor to the box, floating [B, A, 4]; see `boxes`.
        quality: logits of FCOS's centreness, floating [B, A, 1]; None where there is none.
        anchors: float32 [A, 4], left, top, right, bottom in pixels.
        levels: anchors of each level, which follow one another.
        detector: what put it out.
    """

    logits: Tensor
    regression: Tensor
    quality: Tensor | None
    anchors: Tensor
    levels: list[int]
    detector: DenseDetector

    @property
    def scores(self) -> Tensor:
        """Of each class at each location, as the detector ranks them: [B, A, C], 0..1."""
        return _probability(self.logits, self.quality)

    @property
    def boxes(self) -> Tensor:
        """Of each location, [B, A, 4] in pixels."""
        return self.detector.decode(self.regression, self.anchors.expand_as(self.regression))

    def split(self, images: int) -> list[DenseOutput]:
        """Of each `images` images, one after the other, as torch.Tensor.split."""
        logits, regression = self.logits.split(images), self.regression.split(images)
        quality = [None] * len(logits) if self.quality is None else self.quality.split(images)
        return [
            self._replace(logits=a, regression=b, quality=c)
            for a, b, c in zip(logits, regression, quality, strict=True)
        ]

    def loss(self, targets: Targets) -> Tensor:
        """The detector's own loss, as torchvision computes it: a scalar."""
        model, anchors = self.detector.model, [self.anchors] * len(self.logits)
        if isinstance(model, FCOS):
            losses = model.compute_loss(listed(targets), self._heads(), anchors, self.levels)
        else:
            losses = model.compute_loss(listed(targets), self._heads(), anchors)
        return torch.stack([*losses.values()]).sum()

    @torch.no_grad()
    def detections(self, sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """After torchvision's thresholds and non-maximum suppression, of each image the best first.

        Boxes without an area in the picture are left out, as torchvision does in its detectors of two stages.

        Args:
            sizes: height and width of each picture in its image, to which boxes are clipped.

        Returns:
            boxes float32 [D, 4], scores [D] in 0..1 and labels int64 [D], positions in the classes.
        """
        heads = {name: list(values.split(self.levels, dim=1)) for name, values in self._heads().items()}
        anchors = [list(self.anchors.split(self.levels))] * len(sizes)
        found = self.detector.model.postprocess_detections(heads, anchors, sizes)
        kept = [remove_small_boxes(one["boxes"], SMALLEST_SIDE) for one in found]
        return [{name: one[name][rows] for name in one} for one, rows in zip(found, kept, strict=True)]

    def object_scores(self, boxes: Tensor, labels: Tensor, quality_weight: float) -> Tensor:
        """How well each object is found, `object_score` at the location where it is found best: [B, M] in 0..1.

        That is the score that non-maximum suppression would keep. Of an object, locations in its box count, or the
        nearest one. Which it is has no gradient; the score has one to the output and to the boxes.

        Args:
            boxes: floating [B, M, 4], in pixels.
            labels: int64 [B, M]; what is returned for -1 means nothing.
            quality_weight: see `object_score`.
        """
        labels = labels.clamp(min=0)
        with torch.no_grad():
            images = zip(self.split(1), boxes, labels, strict=True)
            best = torch.stack([one._best_places(own, wanted, quality_weight) for one, own, wanted in images])
        places = best[..., None]
        logits = self.logits.gather(1, places.expand(-1, -1, self.logits.shape[2])).gather(2, labels[..., None])
        quality = None if self.quality is None else self.quality.gather(1, places)
        found = self.detector.decode(self.regression.gather(1, places.expand(-1, -1, 4)), self.anchors[best])
        return object_score(_probability(logits, quality).squeeze(-1), overlap(found, boxes), quality_weight)

    def _best_places(self, boxes: Tensor, labels: Tensor, quality_weight: float) -> Tensor:
        """Of an output for one image, the location of the highest score of each object: int64 [M]."""
        quality = None if self.quality is None else self.quality[0]
        probability = _probability(self.logits[0].index_select(1, labels), quality)
        scores = object_score(probability, overlap(self.boxes[0][:, None], boxes), quality_weight)
        x, y = ((self.anchors[:, :2] + self.anchors[:, 2:]) / 2).unsqueeze(1).unbind(dim=-1)
        left, top, right, bottom = boxes.unbind(dim=-1)
        inside = (x > left) & (x < right) & (y > top) & (y < bottom)
        nearest = ((x - (left + right) / 2).square() + (y - (top + bottom) / 2).square()).argmin(dim=0)
        return torch.where(inside.any(dim=0), scores.masked_fill(~inside, -1).argmax(dim=0), nearest)

    def _heads(self) -> dict[str, Tensor]:
        """By torchvision's names, in full precision."""
        heads = {"cls_logits": self.logits, "bbox_regression": self.regression, "bbox_ctrness": self.quality}
        return {name: in_full_precision(values) for name, values in heads.items() if values is not None}


class DenseDetector(nn.Module):
    """Images [B, 3, H, W], normalised, to a `DenseOutput`; parameters keep torchvision's names.

    Args:
        model: as torchvision makes it. What it is made of is this module's; what it does with it is asked of it.
    """

    def __init__(self, model: FCOS | RetinaNet) -> None:
        super().__init__()
        self.backbone: nn.Module = model.backbone
        self.head: nn.Module = model.head
        self.classes: int = model.head.get_submodule("classification_head").num_classes  # pyright: ignore[reportAttributeAccessIssue]
        self._model = (model,)  # in a tuple, so that its parts are not registered twice

    @property
    def model(self) -> FCOS | RetinaNet:
        """torchvision's."""
        return self._model[0]

    def forward(self, images: Tensor) -> DenseOutput:
        """See `DenseOutput`."""
        features = list(self.backbone(images).values())
        heads = self.head(features)
        anchors, levels = grid_anchors(self.model.anchor_generator, images, features)
        answers = heads["cls_logits"], heads["bbox_regression"], heads.get("bbox_ctrness")
        return DenseOutput(*answers, anchors, levels, self)

    def own_names(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """See `published.taken_over`."""
        return taken_over(state, self, self.classes)

    def decode(self, regression: Tensor, anchors: Tensor) -> Tensor:
        """Boxes [..., 4] in pixels, from anchors [..., 4]."""
        regression = in_full_precision(regression)
        if isinstance(self.model, FCOS):
            return self.model.box_coder.decode(regression, anchors)
        flat = self.model.box_coder.decode_single(regression.reshape(-1, 4), anchors.reshape(-1, 4))
        return flat.view_as(regression)


def _probability(logits: Tensor, quality: Tensor | None) -> Tensor:
    """Of a class, as the detector scores it: FCOS takes the geometric mean with the centreness."""
    logits = in_full_precision(logits)
    if quality is None:
        return logits.sigmoid()
    return (logits.sigmoid() * quality.to(logits.dtype).sigmoid()).clamp(min=1e-12).sqrt()
