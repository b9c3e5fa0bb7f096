"""What a policy makes of some fixed test images, and what the networks answer, kept in a run's folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tst_fast.models.frozen import frozen
from tst_fast.policy.augmenter import Augmented
from tst_fast.report.metrics import STRIP_GAP
from tst_fast.run.held_out_gap import both_policies
from tst_fast.run.seeding import Stream, reseed
from tst_fast.run.session import Session
from tst_kernels import Draw, normalise
from tst_pipelines import Batch

IMAGES = 8
SIDE = 128
"""Pixels: longer sides are scaled down."""

Confidences = dict[str, dict[str, list[float]]]
Answers = dict[str, dict[str, list[str]]]


def fixed_images(session: Session) -> Batch:
    """A few test images, the same on each rank; at equal distances, for they lie in the order of their classes."""
    dataset, ranks = session.splits.test, session.accelerator.num_processes
    positions = np.unique(np.linspace(0, len(dataset) - 1, IMAGES).astype(np.int64))
    loader = session.task.evaluation_loader(dataset.select(np.tile(positions, ranks)))  # a rank's share is one tile
    try:
        parts = [batch for batch in loader if len(batch)]
    finally:
        loader.close()
    return parts[0]


@torch.no_grad()
def draw_search(
    session: Session, batch: Batch, folder: Path, number: int
) -> tuple[dict[str, str], Confidences, Answers]:
    """Write the pictures of `report.metrics.SearchEnded`, for the policy as it is now.

    Args:
        session: its policy, networks and task.
        batch: of `fixed_images`.
        folder: the run's.
        number: of the search, from 0.

    Returns:
        Files relative to the folder; both networks' confidence in the true class of each image, by picture; and, where
        an answer is a class, each network's and the truth.
    """
    (folder / "pictures").mkdir(exist_ok=True)
    images, mean, std = batch.images, session.config.data.mean, session.config.data.std
    made = {"plain": Augmented(normalise(images, mean, std), None)}
    for name, augmenter in both_policies(session.augmenter).items():
        reseed(session.config.seed, Stream.PICTURES)
        made[name] = augmenter(images, batch.sizes)
    pictures, found, answers = {}, {}, {}
    with frozen(session.require_teacher(), session.student):
        for name, augmented in made.items():
            rows, found[name], said = _asked(session, batch, augmented)
            answers |= {name: said} if said else {}
            pictures[name] = _save([rows], folder, f"search{number:02}-{name}")
        pictures["operations"] = _save(_each_operation(session, batch), folder, f"search{number:02}-operations")
    return pictures, found, answers


@torch.no_grad()
def draw_answers(session: Session, batch: Batch, folder: Path) -> None:
    """Write `answers.png`, if the task draws it: test images, plain and augmented, and what the networks answer.

    Args:
        session: its policy, networks and task.
        batch: of `fixed_images`.
        folder: the run's.
    """
    networks = {"teacher": session.teacher, "student": session.learners.student.evaluated}
    networks = {role: network for role, network in networks.items() if network is not None}
    plain = normalise(batch.images, session.config.data.mean, session.config.data.std)
    with frozen(*networks.values()), session.accelerator.autocast():
        outputs = {role: session.task.predict(network, plain) for role, network in networks.items()}
    reseed(session.config.seed, Stream.PICTURES)
    augmented, geometry = session.augmenter(batch.images, batch.sizes)
    targets = batch.targets
    moved = targets if geometry is None else session.task.moved(targets, geometry)
    session.task.draw_answers(
        folder / "answers.png", (batch.images, targets), outputs, (_pixels(session, augmented), moved)
    )


def _asked(
    session: Session, batch: Batch, augmented: Augmented
) -> tuple[list[np.ndarray], dict[str, list[float]], dict[str, list[str]]]:
    """Pictures of images with the student's answers; how sure each network is of the truth, and what it says."""
    task, networks = session.task, {"teacher": session.require_teacher(), "student": session.student}
    outputs = {}
    for role, network in networks.items():
        with session.accelerator.autocast():
            outputs[role] = task.predict(network, augmented.images)
    targets, classes = batch.targets, session.splits.test.classes
    moved = targets if augmented.geometry is None else task.moved(targets, augmented.geometry)
    drawn = task.pictures(_pixels(session, augmented.images), moved, outputs["student"])
    sure = {role: task.confidences(output, moved).tolist() for role, output in outputs.items()}
    answered = {role: found for role, output in outputs.items() if (found := task.answered(output)) is not None}
    labels = {"truth": targets.labels, **answered} if answered else {}
    said = {role: [classes[label] for label in found.tolist()] for role, found in labels.items()}
    return list(drawn), sure, said


def _each_operation(session: Session, batch: Batch) -> list[list[np.ndarray]]:
    """The images under each operation alone, applied for sure at the level that was learned."""
    policy, size, device = session.policy, len(batch), batch.images.device
    rows = []
    for operation, level in zip(policy.operations, policy.levels().tolist(), strict=True):
        draw = Draw(
            operations=torch.full((size, 1), operation.code, dtype=torch.int32, device=device),
            levels=torch.full((size, 1), level, device=device),
            gates=torch.ones(size, 1, device=device),
            centres=torch.full((size, 2), 0.5, device=device),
        )
        augmented = session.augmenter.apply(batch.images, draw, batch.sizes)
        rows.append(list(_pixels(session, augmented.images).cpu().numpy()))
    return rows


def _pixels(session: Session, images: Tensor) -> Tensor:
    """Normalised images [B, 3, H, W] as uint8 [B, H, W, 3]."""
    data = session.config.data
    mean, std = (images.new_tensor(values)[:, None, None] for values in (data.mean, data.std))
    return ((images.float() * std + mean).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)


def _save(rows: Sequence[Sequence[np.ndarray]], folder: Path, name: str) -> str:
    """Images uint8 [H, W, 3] in rows, as one PNG; its name relative to the folder."""
    small = [[_thumbnail(image) for image in row] for row in rows]
    width, height = (max(size) for size in zip(*(image.size for row in small for image in row), strict=True))
    columns = max(map(len, small))
    sides = (count * (side + STRIP_GAP) - STRIP_GAP for count, side in ((columns, width), (len(small), height)))
    grid = Image.new("RGB", tuple(sides), "white")
    for y, row in enumerate(small):
        for x, image in enumerate(row):
            grid.paste(image, (x * (width + STRIP_GAP), y * (height + STRIP_GAP)))
    file = Path("pictures") / f"{name}.png"
    grid.save(folder / file)
    return file.as_posix()


def _thumbnail(image: np.ndarray) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((SIDE, SIDE))
    return picture
