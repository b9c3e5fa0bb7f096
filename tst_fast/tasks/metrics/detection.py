"""Average precision of boxes, as MS-COCO's evaluation counts it, by faster-coco-eval."""

import contextlib
import io
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object

from tst_fast.errors import UserError
from tst_fast.tasks.metrics import Evaluation
from tst_pipelines import Batch, Dataset, DetectionDataset, FitAndPad

NUMBERS = (
    "box_ap",
    "box_ap50",
    "box_ap75",
    "box_ap_small",
    "box_ap_medium",
    "box_ap_large",
    "box_ar1",
    "box_ar10",
    "box_ar100",
    "box_ar_small",
    "box_ar_medium",
    "box_ar_large",
)
"""COCO's twelve, in its order."""


class CocoScore:
    """An `Evaluator` of detection.

    Args:
        dataset: what is evaluated on.
        transform: what became of its images; detections are moved back to the pixels of the files.
    """

    def __init__(self, dataset: Dataset, transform: FitAndPad) -> None:
        assert isinstance(dataset, DetectionDataset)
        self.dataset, self.transform = dataset, transform
        self.seen: list[int] = []
        self.found: list[np.ndarray] = []
        """float64 [D, 7] each: position in the data set, left, top, width, height, score, label."""

    @staticmethod
    def require() -> None:
        """Refuse to begin without what computes the score.

        Raises:
            UserError: faster-coco-eval is not installed.
        """
        try:
            import faster_coco_eval  # noqa: F401
        except ImportError:
            raise UserError("detection needs faster-coco-eval: pip install 'tst-fast[detection]'") from None

    def update(self, output: Any, batch: Batch) -> None:
        """Count a `DetectionOutput`'s detections."""
        found = output.detections(_sizes(batch))
        placement = self.transform.place(self.dataset.shapes[batch.indices])
        for row, (index, one) in enumerate(zip(batch.indices.tolist(), found, strict=True)):
            boxes = placement.to_image(one["boxes"].double().cpu().numpy(), row)
            boxes[:, 2:] -= boxes[:, :2]
            columns = np.full((len(boxes), 1), index), boxes, one["scores"].double().cpu().numpy()[:, None]
            self.found.append(np.concatenate([*columns, one["labels"].double().cpu().numpy()[:, None]], axis=1))
            self.seen.append(index)

    def result(self, accelerator: Accelerator) -> Evaluation:
        """COCO's twelve numbers over the images of all ranks, those that are defined, and each class's AP."""
        gathered = gather_object([(self.seen, self.found)])
        evaluation: list[Evaluation | None] = [None]
        if accelerator.is_main_process:
            pairs = [pair for seen, found in gathered for pair in zip(seen, found, strict=True)]
            pairs.sort(key=lambda pair: pair[0])  # the same order for any number of ranks
            rows = np.concatenate([found for _, found in pairs]) if pairs else np.zeros((0, 7))
            evaluation = [evaluate(self.dataset, np.unique([index for index, _ in pairs]), rows)]
        broadcast_object_list(evaluation)
        assert evaluation[0] is not None
        return evaluation[0]


def evaluate(dataset: DetectionDataset, images: np.ndarray, found: np.ndarray) -> Evaluation:
    """COCO's evaluation of detections.

    Args:
        dataset: with the truth.
        images: int64 [N], positions of the images that were looked at.
        found: float64 [D, 7], see `CocoScore.found`.

    Returns:
        Without scores where none of the images has an object.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    truth = _truth(dataset, images)
    if not any(one["iscrowd"] == 0 for one in truth["annotations"]):
        return Evaluation({}, {})
    with contextlib.redirect_stdout(io.StringIO()):  # the library tells of itself
        known = COCO(truth)
        rows = np.column_stack([found[:, :6], found[:, 6] + 1])
        detections = known.loadRes(rows if len(rows) else [])
        evaluator = COCOeval_faster(known, detections, "bbox")
        evaluator.run()
    numbers = dict(zip(NUMBERS, map(float, evaluator.stats[: len(NUMBERS)]), strict=True))
    precision = evaluator.eval["precision"][:, :, :, 0, -1]  # [IoU, recall, class]
    present = [number for number in range(len(dataset.classes)) if (precision[:, :, number] > -1).any()]
    by_class = {dataset.classes[n]: float(precision[:, :, n][precision[:, :, n] > -1].mean()) for n in present}
    return Evaluation({name: value for name, value in numbers.items() if value >= 0}, {"box_ap": by_class})


def _truth(dataset: DetectionDataset, images: np.ndarray) -> dict[str, Any]:
    """The annotations of some images in COCO's form; images and classes are numbered by their positions."""
    positions, rows = dataset.objects(images)
    corners = dataset.boxes[positions].astype(np.float64)
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    columns = (
        images[rows].tolist(),
        (dataset.labels[positions] + 1).tolist(),
        boxes.tolist(),
        dataset.areas[positions].astype(np.float64).tolist(),
        dataset.crowd[positions].astype(int).tolist(),
    )
    names = "image_id", "category_id", "bbox", "area", "iscrowd"
    annotations = [
        {"id": number} | dict(zip(names, values, strict=True))
        for number, values in enumerate(zip(*columns, strict=True), start=1)
    ]
    shapes = dataset.shapes[images].tolist()
    pictures = zip(images.tolist(), shapes, strict=True)
    return {
        "images": [{"id": number, "height": height, "width": width} for number, (height, width) in pictures],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(dataset.classes, start=1)],
    }


def _sizes(batch: Batch) -> list[tuple[int, int]]:
    """Height and width of each picture in its canvas."""
    assert batch.sizes is not None  # as batches of boxes have
    return [(height, width) for height, width in batch.sizes.tolist()]
