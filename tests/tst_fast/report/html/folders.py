"""Folders of made-up runs and comparisons, whose every number is known."""

import dataclasses
import json
import math
from pathlib import Path

import yaml
from PIL import Image

from tst_fast.commands.paired import paired_difference, summary
from tst_fast.report.metrics import (
    STRIP_GAP,
    Evaluated,
    Event,
    PassEnded,
    PolicyMoved,
    SearchEnded,
    StepsTaken,
    to_line,
)

COLOURS = {"plain": 40, "untrained": 120, "trained": 200}
"""The red of every picture of a kind; its green tells the image, and its blue the search."""
IMAGES, SIDE = 3, 16


@dataclasses.dataclass
class MadeUp:
    """What to make a run of.

    Attributes:
        epochs: of teacher and student each.
        searches: one before each of the first epochs of the student, of one pass.
        classes: their names.
        shift: added to probabilities and the student's scores, so that runs differ.
        teacher: its score.
        name: what is written wherever a user's text is.
        ended: whether result.json and policy.json are there.
        steps: of a pass.
        side: pixels of a picture.
        noise: whether pictures are noise.
        settings: of the configuration.
    """

    epochs: int = 3
    searches: int = 2
    classes: tuple[str, ...] = ("cat", "dog", "eel")
    shift: float = 0.0
    teacher: float = 0.9
    name: str = "made-up"
    ended: bool = True
    steps: int = 4
    side: int = SIDE
    noise: bool = False
    settings: dict = dataclasses.field(default_factory=lambda: {"policy": {"sign": "random"}})

    def write(self, folder: Path) -> Path:
        """Make the folder; returns it."""
        folder.mkdir(parents=True)
        (folder / "pictures").mkdir()
        events = list(self.events(folder))
        (folder / "metrics.jsonl").write_text("".join(f"{to_line(event)}\n" for event in events))
        (folder / "config.yaml").write_text(yaml.safe_dump({"name": self.name, **self.settings}))
        if self.ended:
            self._end(folder, [event for event in events if isinstance(event, PolicyMoved)])
        return folder

    def events(self, folder: Path):
        """What the run says, its pictures written."""
        done = 0
        for number in range(self.epochs):
            done += 1
            yield from self._pass("teacher", number, done)
        yield self._evaluated("teacher", self.epochs - 1, done, self.teacher)
        for number in range(self.epochs):
            if number < self.searches:
                done += 1
                yield from self._pass("search", number, done)
                yield self._moved(number, done)
                yield self._searched(folder, number, done)
            done += 1
            yield from self._pass("student", number, done)
            yield self._evaluated("student", number, done, 0.5 + 0.1 * number / self.epochs)

    def _place(self, stage: str, epoch: int, done: int) -> dict:
        return {"stage": stage, "epoch": epoch, "pass_index": done - 1, "global_step": done * self.steps}

    def _pass(self, stage: str, epoch: int, done: int):
        where = self._place(stage, epoch, done)
        for step in range(1, self.steps + 1):
            place = {**where, "global_step": (done - 1) * self.steps + step}
            means = {"loss": 1 / step, "teacher_confidence": 0.8, "student_confidence": 0.4}
            yield StepsTaken(
                **place,
                step=step,
                stage_step=epoch * self.steps + step,
                learning_rate=0.1 / done,
                images_per_second=100.0,
                means=means,
            )
        yield PassEnded(**where, mean_loss=2.0 / (epoch + 1), images_per_second=50.0 * done, seconds={stage: 1.5})

    def _evaluated(self, role: str, epoch: int, done: int, score: float) -> Event:
        count = len(self.classes)
        shift = self.shift if role == "student" else 0.0
        by_class = {name: max(0.0, score + shift - 0.3 * i / count) for i, name in enumerate(self.classes)}
        if role == "student":
            by_class[self.classes[-1]] = 1.0
        confusion = [[90 if i == j else 10 * (j == (i + 1) % count) for j in range(count)] for i in range(count)]
        return Evaluated(
            **self._place(role, epoch, done),
            role=role,
            scores={"top1": score + shift, "mean_iou": score / 2},
            by_class={"top1": by_class},
            confusion=confusion if count <= 100 else None,
        )

    def probability(self, number: int) -> float:
        """Of Rotate after a search."""
        return 0.5 - 0.1 * (number + 1) / self.searches + self.shift

    def _moved(self, number: int, done: int) -> Event:
        operations = {
            "Rotate": {"probability": self.probability(number), "level": 0.25, "magnitude": 7.5},
            "Invert": {"probability": 0.3, "level": None, "magnitude": None},
        }
        return PolicyMoved(**self._place("search", number, done), operations=operations, search_share=0.5)

    def _searched(self, folder: Path, number: int, done: int) -> Event:
        pictures = {kind: f"pictures/search{number:02}-{kind}.png" for kind in (*COLOURS, "operations")}
        for kind, file in pictures.items():
            rows = 2 if kind == "operations" else 1
            self._strip(rows, COLOURS.get(kind, 250), number).save(folder / file)
        gap = {"trained": {"teacher": 0.7, "student": 0.3, "gap": 0.4}, "untrained": {"teacher": 0.6, "student": 0.4}}
        gap["untrained"]["gap"] = 0.2
        confidences = {
            kind: {"teacher": [0.91] * IMAGES, "student": [0.11 * (number + 1)] * IMAGES} for kind in COLOURS
        }
        return SearchEnded(
            **self._place("search", number, done),
            gap=gap,
            pictures=pictures,
            confidences=confidences,
            answers={kind: self._answers(number) for kind in COLOURS},
            warnings=[f"{self.name} only weakens"],
        )

    def _answers(self, search: int) -> dict[str, list[str]]:
        """The teacher is right; the student, after the first search, always says the last class."""
        truth = [self.classes[image % len(self.classes)] for image in range(IMAGES)]
        return {"truth": truth, "teacher": truth, "student": [self.classes[-1]] * IMAGES if search else truth}

    def _strip(self, rows: int, red: int, number: int) -> Image.Image:
        step = self.side + STRIP_GAP
        strip = Image.new("RGB", (IMAGES * step - STRIP_GAP, rows * step - STRIP_GAP), "white")
        for y in range(rows):
            for x in range(IMAGES):
                picture = Image.new("RGB", (self.side, self.side), (red, 60 * x, 30 * number + 90 * y))
                if self.noise:
                    picture = Image.effect_noise((self.side, self.side), 100).convert("RGB")
                strip.paste(picture, (x * step, y * step))
        return strip

    def _end(self, folder: Path, moves: list[PolicyMoved]) -> None:
        result = {
            "metric": "top1",
            "wall_seconds": 60.0,
            "images_per_second": 123.0,
            "search_share": 0.25,
            "processes": 2,
            "versions": {"torch": "9.8.7"},
        }
        (folder / "result.json").write_text(json.dumps(result))
        rows = [
            {"operation": "Rotate", "unit": "degrees", "signed": True},
            {"operation": "Invert", "unit": "", "signed": False},
        ]
        rotate = [0.5, *(move.operations["Rotate"]["probability"] for move in moves)]
        history = {
            "Rotate": {
                "probability": rotate,
                "level": [0.5, *([0.25] * len(moves))],
                "magnitude": [15.0, *([7.5] * len(moves))],
            },
            "Invert": {"probability": [0.5, *([0.3] * len(moves))]},
        }
        policy = {"operations": rows, "history": history, "provenance": {"program": f"tst-fast of {self.name}"}}
        (folder / "policy.json").write_text(json.dumps(policy))


def compare(folder: Path, scores: dict[str, list[float]], pairs: list[tuple[str, str]], **settings) -> Path:
    """Make the folder of a comparison: of each arm, the scores of its seeds, which shift its runs; returns it."""
    folder.mkdir(parents=True)
    runs = {arm: [] for arm in scores}
    for arm, values in scores.items():
        for seed, value in enumerate(values):
            name = f"run{len(list(folder.iterdir()))}"
            MadeUp(shift=value - 0.5, searches=2 if arm == "TST" else 0, **settings).write(folder / name)
            runs[arm].append({"folder": name, "seed": seed, "fraction_seed": 0})
    content = {
        "version": 2,
        "plan": {
            "arms": {arm: {"images": 2} for arm in scores},
            "seeds": list(range(max(map(len, scores.values())))),
            "fraction_seeds": [0],
            "hypothesis": f"{pairs[0][0]} is above {pairs[0][1]}",
        },
        "metric": "top1",
        "arms": {arm: {name: summary(values) for name in ("last", "best")} for arm, values in scores.items()},
        "differences": [
            {"arms": [one, other], **paired_difference(scores[one], scores[other])} for one, other in pairs
        ],
        "agreement": math.pi / 4,
        "runs": runs,
    }
    (folder / "compare.json").write_text(json.dumps(content))
    return folder
