"""Pictures of a run's searches, cut out of the image strips in its folder and compressed to fit the page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tst_fast.report.html.data import Run
from tst_fast.report.html.drawing import shortened, thin
from tst_fast.report.metrics import STRIP_GAP, PolicyMoved, SearchEnded

KINDS = {"plain": "original", "untrained": "untrained policy", "trained": "learned policy"}
TINY = 48
"""Pixels: pictures up to this size are stored losslessly."""
COARSER = ((6, 80, 128), (4, 60, 128), (3, 45, 96), (2, 30, 80))
"""Number of searches, quality and longest side in pixels: the first that is small enough, else the last."""
OF_EACH_OPERATION = 4
"""Pictures under an operation alone."""


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        address: a `data:` address.
        caption: lines below it.
    """

    address: str
    caption: list[str]


@dataclass(frozen=True)
class Search:
    """Test images after one search.

    Attributes:
        title: number of the search, and when it was.
        images: for each test image, a picture of each of `KINDS`.
    """

    title: str
    images: list[list[Picture]]


@dataclass(frozen=True)
class Gallery:
    """The pictures of one run.

    Attributes:
        label: of the run.
        searches: in order; a selection of many.
        operations: after the last search, name and magnitude of each, and pictures under it alone.
    """

    label: str
    searches: list[Search]
    operations: list[tuple[str, list[Picture]]]

    def size(self) -> int:
        """Bytes on the page."""
        pictures = [one for search in self.searches for image in search.images for one in image]
        pictures += [one for _, row in self.operations for one in row]
        return sum(len(one.address) for one in pictures)


def gallery(run: Run, most: int) -> Gallery | None:
    """The pictures of a run, coarser or fewer until they have about `most` bytes; None if it has none."""
    ends = [(number, end) for number, end in enumerate(run.of(SearchEnded)) if end.pictures]
    found = None
    for searches, quality, side in COARSER:
        shown = [_search(run.folder, number, end, quality, side) for number, end in thin(ends, searches)]
        operations = _operations(run, ends[-1][1], quality, side) if ends else []
        found = Gallery(run.label, [one for one in shown if one is not None], operations)
        if found.size() <= most:
            break
    return found if found and (found.searches or found.operations) else None


def answers(run: Run, most: int) -> Picture | None:
    """`answers.png`, predictions of both networks for test images, in at most `most` bytes; None if there is none."""
    try:
        with Image.open(run.folder / "answers.png") as opened:
            whole = opened.convert("RGB")
    except (OSError, ValueError):
        return None
    caption = [f"{run.label}: predictions of both networks at the end"]
    for quality, side in ((75, 1600), (60, 1200), (45, 900), (30, 600)):
        found = Picture(_address(whole, quality, side), caption)
        if len(found.address) <= most:
            return found
    return None


def _search(folder: Path, number: int, end: SearchEnded, quality: int, side: int) -> Search | None:
    kinds = []
    for kind in KINDS:
        confidences = end.confidences.get(kind, {})
        count = len(next(iter(confidences.values()), []))
        pictures = _cut(folder, end.pictures.get(kind), 1, count)
        if not pictures:
            return None
        captions = [_caption(end, kind, i) for i in range(count)]
        addresses = [_address(picture, quality, side) for picture in pictures[0]]
        kinds.append([Picture(*one) for one in zip(addresses, captions, strict=True)])
    images = [list(image) for image in zip(*kinds, strict=False)]
    return Search(f"search {number + 1}, before the student's epoch {end.epoch + 1}", images)


def _caption(end: SearchEnded, kind: str, image: int) -> list[str]:
    """Below a picture: its kind; each network's confidence in the ground truth, with its prediction if wrong."""
    answers = end.answers.get(kind, {}).items()
    said = {role: shortened(names[image], 20) for role, names in answers if image < len(names)}
    title = f"{KINDS[kind]}: {said['truth']}" if kind == "plain" and "truth" in said else KINDS[kind]
    lines = []
    for role, values in end.confidences[kind].items():
        wrong = f" ({said[role]})" if role in said and said[role] != said.get("truth") else ""
        lines.append(f"{role} {100 * values[image]:.0f} %{wrong}")
    return [title, *lines]


def _operations(run: Run, end: SearchEnded, quality: int, side: int) -> list[tuple[str, list[Picture]]]:
    """The first test images under each operation alone, at its magnitude at the end of a search."""
    moves = [move for move in run.of(PolicyMoved) if move.global_step <= end.global_step]
    trajectory = run.policy_trajectory()
    if not moves or trajectory is None:
        return []
    learned = moves[-1].operations
    count = len(next(iter(end.confidences.get("plain", {}).values()), []))
    rows = _cut(run.folder, end.pictures.get("operations"), len(learned), count)
    found = []
    for (name, values), row in zip(learned.items(), rows, strict=False):
        magnitude, one = values["magnitude"], trajectory.operations[name]
        strength = "" if magnitude is None else f"{'±' if one.signed else ''}{magnitude:.3g} {one.unit}"
        pictures = [Picture(_address(picture, quality, side), []) for picture in row[:OF_EACH_OPERATION]]
        found.append((f"{name}: {strength}" if strength else name, pictures))
    return found


def _cut(folder: Path, name: str | None, rows: int, columns: int) -> Sequence[Sequence[Image.Image]]:
    """Pictures of a strip; none if it is missing or, of a killed run, incomplete."""
    if not name or not rows or not columns:
        return []
    file = folder / name
    try:
        if not file.resolve().is_relative_to(folder.resolve()):
            return []  # a line of metrics.jsonl may say anything
        with Image.open(file) as opened:
            strip = opened.convert("RGB")
    except (OSError, ValueError):
        return []
    width, height = (strip.width + STRIP_GAP) // columns, (strip.height + STRIP_GAP) // rows
    boxes = [
        [(x * width, y * height, (x + 1) * width - STRIP_GAP, (y + 1) * height - STRIP_GAP) for x in range(columns)]
        for y in range(rows)
    ]
    return [[strip.crop(box) for box in row] for row in boxes]


def _address(picture: Image.Image, quality: int, side: int) -> str:
    """A picture as a `data:` address."""
    picture.thumbnail((side, side))
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=quality, lossless=max(picture.size) <= TINY)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
