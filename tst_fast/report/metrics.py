"""metrics.jsonl, the log of a run: one typed event per line; its writer and its reader."""

import dataclasses
import json
import reprlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tst_fast.config.kinds import from_json
from tst_fast.errors import UserError
from tst_fast.report.observer import Observer

VERSION = 2
STAGES = {"teacher": "teacher training", "search": "policy search", "student": "student training"}
"""Stage to its title."""
STRIP_GAP = 2
"""Pixels between two pictures in the files of `SearchEnded.pictures`."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in a run.

    Attributes:
        stage: teacher, search or student.
        epoch: of the network that is trained; for a search, of the student that it precedes.
        pass_index: of the run's passes, from 0; `pass` in the file.
        global_step: steps of all passes until then.
    """

    event: ClassVar[str]
    stage: str
    epoch: int
    pass_index: int
    global_step: int


@dataclass(frozen=True, kw_only=True)
class StepsTaken(Event):
    """Some steps of a stage.

    Attributes:
        step: the last of them, counted in the pass.
        stage_step: the same, counted over all passes of the stage.
        learning_rate: of the next step.
        images_per_second: over all ranks, since the pass began or was resumed.
        means: over these steps and all ranks: loss, the gradient's norm before clipping, and both networks'
            confidence on augmented images.
        memory: peak in bytes so far, of the device on a GPU, else of this process; None if unknown.
    """

    event = "steps"
    step: int
    stage_step: int
    learning_rate: float
    images_per_second: float
    means: dict[str, float]
    memory: int | None = None


@dataclass(frozen=True, kw_only=True)
class PassEnded(Event):
    """The end of a pass over the training images, or over a part of them.

    Attributes:
        mean_loss: over its steps.
        images_per_second: of all ranks together.
        seconds: that the steps of each stage took in it, on this rank's device.
    """

    event = "pass"
    mean_loss: float
    images_per_second: float
    seconds: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Evaluated(Event):
    """The evaluation of a network on the test images.

    Attributes:
        role: teacher or student.
        scores: by metric, 0..1.
        by_class: of a metric by class, metric to class to score.
        confusion: rows of the confusion matrix, where the task has one.
    """

    event = "evaluation"
    role: str
    scores: dict[str, float]
    by_class: dict[str, dict[str, float]] = field(default_factory=dict)
    confusion: list[list[int]] | None = None


@dataclass(frozen=True, kw_only=True)
class PolicyMoved(Event):
    """The policy after a pass in which it learned.

    Attributes:
        operations: by name: probability, and level and magnitude where it has them.
        search_share: the search's share of the time of search and student training so far.
    """

    event = "policy"
    operations: dict[str, dict[str, float | None]]
    search_share: float | None


@dataclass(frozen=True, kw_only=True)
class SearchEnded(Event):
    """The end of a search, and its effect on test images.

    Attributes:
        gap: mean confidence of both networks on augmented test images, and the difference, "trained" and "untrained".
        pictures: files in the run's folder: fixed test images "plain", under the "trained" and the "untrained" policy,
            and "operations": under each operation alone, a row each, at what was learned.
        confidences: of the networks in these images' true classes: of pictures by name, role to a value an image.
        answers: of pictures by name, role to a class's name an image, `truth` beside the networks; none where answers
            are drawn in the pictures.
        signal: by operation, of its probability and level: the mean gradient of the search in units of its standard
            error, positive where it strengthens.
        warnings: what the signal says should be changed, in words.
    """

    event = "search"
    gap: dict[str, dict[str, float]]
    pictures: dict[str, str] = field(default_factory=dict)
    confidences: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    answers: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    signal: dict[str, dict[str, float]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


EVENTS: dict[str, type[Event]] = {
    kind.event: kind for kind in (StepsTaken, PassEnded, Evaluated, PolicyMoved, SearchEnded)
}


def to_line(event: Event) -> str:
    """An event as one line of JSON."""
    values = dataclasses.asdict(event)
    return json.dumps({"event": event.event, "version": VERSION, "pass": values.pop("pass_index"), **values})


def from_line(line: str) -> Event:
    """What `to_line` wrote.

    Raises:
        ValueError: it is nothing of the kind, or of another version, or a field has a value of another type.
    """
    try:
        values = json.loads(line)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(values, dict) or values.pop("version", None) != VERSION:
        raise ValueError("the run was made by another version of it")
    kind = values.pop("event", None)
    if not isinstance(kind, str) or kind not in EVENTS:
        raise ValueError(f"it has the name {reprlib.repr(kind)}")
    return from_json(EVENTS[kind], {"pass_index" if name == "pass" else name: values[name] for name in values})


def read_metrics(file: Path) -> list[Event]:
    """Every event of a metrics.jsonl; of a run that was killed, the last line may be half there and is left out.

    Raises:
        UserError: the file is missing, or holds something else, such as the metrics of an older version; with the line.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}") from None
    events = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            events.append(from_line(line))
        except ValueError as error:
            raise UserError(
                f"{file}, line {number}, is no event that this program knows (version {VERSION}): {error}"
            ) from None
    return events


class MetricsLog(Observer):
    """Writes events to a file, whole lines at once.

    Args:
        file: appended to.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", encoding="utf-8")

    def event(self, event: Event) -> None:
        """Append an event."""
        self._file.write(to_line(event) + "\n")
        self._file.flush()

    def state_dict(self) -> dict[str, Any]:
        """Where the file ends."""
        return {"position": self._file.tell()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Drop what was written after a `state_dict`, which a resumed run writes again, and a line cut by a crash."""
        kept = Path(self._file.name).read_bytes()[: state["position"]]
        end = kept.rfind(b"\n") + 1
        self._file.truncate(end)
        self._file.seek(end)

    def close(self) -> None:
        """Close the file. Closing twice is allowed."""
        with suppress(OSError):  # of a full disk, which was told when it was written to
            self._file.close()
