"""What boxes cost on a CPU: a detector's step, augmentation with boxes, the steps of a run, and loading.

Steps: those of the preset detection/scenes, on one batch of 16 images of 96 x 96; the labels' own forward, loss and
backward beside torchvision's `model(images, targets)` with the same weights. Loading: images and boxes to a canvas of
512 x 640, resized by 0.8 to 1.25 and mirrored; beside it, the transforms of torchvision's references in a bare loop of
as many threads, without padding.

    python -m benchmarks.detection --coco COCO_SAMPLE --json benchmarks/results/detection-cpu.json
"""

import argparse
import copy
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import nn
from torchvision import tv_tensors
from torchvision.models.detection import FCOS
from torchvision.transforms import v2

from benchmarks.loaders import DALI, both_loaders, endless, rows_of
from benchmarks.results import Results, Row, add_options, machine, measure, step_rows
from benchmarks.timing import Timed, interleaved, steady
from tst_fast.config import reading
from tst_fast.models.detection import DenseDetector
from tst_fast.models.detection.anchors import listed
from tst_fast.run.session import Session
from tst_kernels import normalise
from tst_pipelines import DetectionDataset, FitAndJitter, coco_detection

CANVAS, BATCH, SETTLE = (512, 640), 8, 4
MADE = 32  # images made where no folder is given
SEED = 0


def torchvisions(detector: nn.Module, classes: int) -> FCOS:
    """torchvision's own model, with the same weights, on images that are neither normalised nor resized by it."""
    assert isinstance(detector, DenseDetector)
    parts = copy.deepcopy(detector)
    as_it_is = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3, "_skip_resize": True}
    return FCOS(parts.backbone, classes, anchor_generator=parts.model.anchor_generator, head=parts.head, **as_it_is)


def steps(rounds: int) -> list[Row]:
    """Milliseconds of parts of a run's steps, and ratios to the student's step."""
    with closing(Session(reading.from_flags(["--config", "detection/scenes"]), Accelerator(cpu=True))) as session:
        batch, data = next(iter(session.training_loader)), session.config.data
        images, targets = normalise(batch.images, data.mean, data.std), batch.targets
        ours = session.student.train()
        theirs = torchvisions(ours, len(session.splits.train.classes)).train()

        def of_torchvision(_: object) -> None:
            sum(theirs(list(images), listed(targets)).values()).backward()

        session.settle_teacher()
        learners = session.learners
        functions: dict[str, Callable[[object], object]] = {
            "torchvision's model(images, targets), backward": of_torchvision,
            "ours, labels only, backward": lambda _: ours(images).loss(targets).backward(),
            "augmentation with boxes": lambda _: _augment(session, batch),
            "student step": lambda _: learners.student.step(batch),
            "search step": lambda _: learners.require_search().step(batch),
        }
        arms: dict[str, Timed] = {name: (lambda: None, function) for name, function in functions.items()}
        seconds = interleaved(arms, 3 * rounds, warmup=3)
    rows = step_rows(seconds, len(batch))
    for row in rows:
        ratio = row["milliseconds"] / rows[0]["milliseconds"]
        row["ratio_to_torchvision"] = ratio if row["name"].endswith("backward") else None
    return rows


@torch.no_grad()
def _augment(session: Session, batch: object) -> None:
    _, geometry = session.augmenter(batch.images, batch.sizes)  # pyright: ignore[reportAttributeAccessIssue]
    assert geometry is not None  # warps are composed
    session.task.moved(batch.targets, geometry)  # pyright: ignore[reportAttributeAccessIssue]


def images_of(folder: Path | None, scratch: Path) -> DetectionDataset:
    """Images and boxes in COCO's format below `images` and `annotations/instances.json`, or made of photographs."""
    if folder is not None:
        return coco_detection(folder / "images", folder / "annotations/instances.json")
    random, sources = np.random.default_rng(SEED), [Image.fromarray(image) for image in load_sample_images().images]
    (scratch / "images").mkdir()
    images, objects = [], []
    for number in range(MADE):
        sources[number % 2].save(scratch / f"images/{number}.jpg")
        images.append({"id": number, "file_name": f"{number}.jpg", "width": 640, "height": 427})
        for left, top in random.integers(0, (540, 327), (5, 2)).tolist():
            about = {"id": len(objects), "image_id": number, "category_id": 1, "iscrowd": 0, "area": 8100}
            objects.append(about | {"bbox": [left, top, 90, 90]})
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "part"}]}
    (scratch / "instances.json").write_text(json.dumps(content))
    return coco_detection(scratch / "images", scratch / "instances.json")


def references(dataset: DetectionDataset, threads: int) -> Iterator[object]:
    """Batches by the transforms of torchvision's references, multi-scale, in threads; without end."""
    random = np.random.default_rng(SEED)
    chain = v2.Compose(
        [
            v2.RandomShortestSize(min_size=[round(480 * f) for f in (0.8, 0.9, 1.0, 1.1, 1.25)], max_size=800),
            v2.RandomHorizontalFlip(0.5),
            v2.SanitizeBoundingBoxes(labels_getter=lambda parts: parts[1]["labels"]),
        ]
    )
    with ThreadPoolExecutor(threads) as pool:
        while True:
            yield list(pool.map(partial(_reference, dataset, chain), random.integers(0, len(dataset), BATCH).tolist()))


def _reference(dataset: DetectionDataset, chain: nn.Module, index: int) -> object:
    with Image.open(dataset.path(index)) as opened:
        image = tv_tensors.Image(v2.functional.pil_to_tensor(opened.convert("RGB")))
    targets = dataset.targets(np.array([index]))
    assert targets.boxes is not None
    kept = targets.labels[0] >= 0
    boxes = tv_tensors.BoundingBoxes(targets.boxes[0][kept], format="XYXY", canvas_size=image.shape[1:])
    return chain(image, {"boxes": boxes, "labels": targets.labels[0][kept]})


def loading(dataset: DetectionDataset, threads: int, seconds: float, rounds: int) -> list[Row]:
    """images/s and CPU time an image of the loaders."""
    torch.set_num_threads(1)  # the loaders have threads of their own
    ours = both_loaders(dataset, FitAndJitter(CANVAS), BATCH, threads, SEED)
    arms = {"torchvision's references, bare loop": partial(references, dataset, threads)}
    arms |= {name: partial(endless, opened) for name, opened in ours.items()}
    return rows_of(steady(arms, BATCH, seconds, SETTLE, rounds), "torchvision's references, bare loop", None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coco", type=Path, help="holds images and annotations/instances.json; else images are made")
    add_options(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    about = machine("torchvision", "pillow", *DALI) | {"rounds": options.rounds}
    with tempfile.TemporaryDirectory() as scratch:
        dataset = images_of(options.coco, Path(scratch))
        made = "" if options.coco else ", made of scikit-learn's two photographs"
        about["images"] = f"{len(dataset)} of {options.coco.name if options.coco else 'two photographs'}{made}"
        results = Results(about, options.json)
        tables: dict[str, Callable[[], list[Row]]] = {
            "steps of detection/scenes": partial(steps, options.rounds),
            f"images with boxes to a canvas of {CANVAS[0]} x {CANVAS[1]} px": partial(
                loading, dataset, options.threads, options.seconds, options.rounds
            ),
        }
        measure(tables, results)


if __name__ == "__main__":
    main()
