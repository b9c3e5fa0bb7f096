"""Logging to Accelerate's trackers: the numbers of metrics.jsonl by global step, and pictures of the policy."""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate.tracking import GeneralTracker
from PIL import Image

from tst_fast.config import reading
from tst_fast.config.schema import Config
from tst_fast.errors import UserError
from tst_fast.report.metrics import Evaluated, Event, PassEnded, PolicyMoved, SearchEnded, StepsTaken
from tst_fast.report.observer import Observer, Opening
from tst_fast.report.services import Place, begin, identity_of
from tst_pipelines.writing import write_text_whole

if TYPE_CHECKING:
    from tst_fast.policy.file import LearnedOperation

IDENTITIES = "trackers.json"
"""File in a run's folder: the run's identity in each tracker."""
AT_THE_END = {"policy": "policy.png", "answers": "answers.png"}
SINGLE = {"aim", "clearml"}
"""Trackers that take one picture per name; the others take several."""


class Trackers(Observer):
    """Logs to every tracker of the configuration. One that fails during the run is dropped.

    Args:
        config: of the run: names of the trackers, and the settings that they log.
        notice: called with a message when a tracker fails.
    """

    def __init__(self, config: Config, notice: Callable[[str], None]) -> None:
        self.config, self.notice = config, notice
        self._trackers: dict[str, GeneralTracker] = {}
        self._folder = Path()
        self._step = 0

    def opened(self, opening: Opening) -> None:
        """Start the trackers, or continue the run that they know.

        Raises:
            UserError: one cannot be started.
        """
        self._folder, self._step = opening.folder, opening.global_step
        file = opening.folder / IDENTITIES
        known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        for name in dict.fromkeys(self.config.track):
            resumed = name in known and opening.global_step > 0
            identity = known[name] if resumed else uuid.uuid4().hex
            place = Place(opening.name, self._name(), opening.folder, identity, opening.global_step, resumed)
            try:
                tracker = begin(name, place)
                if not resumed:
                    tracker.store_init_configuration(_plain_settings(self.config))
                known[name] = identity_of(name, tracker, place)
            except Exception as error:  # of any kind: of a network, of an account, of a package
                raise UserError(f"--track {name} cannot be started: {_in_words(error)}") from None
            self._trackers[name] = tracker
        write_text_whole(file, json.dumps(known, indent=2) + "\n")

    def event(self, event: Event) -> None:
        """Log its numbers and pictures."""
        self._step = event.global_step
        values = numbers_of(event)
        self._tell(lambda name, tracker: tracker.log(values, step=self._step))
        if isinstance(event, SearchEnded):
            self._show({f"search/{name}": file for name, file in event.pictures.items()})

    def ended(self, result: Mapping[str, Any], history: Sequence[Sequence["LearnedOperation"]], folder: Path) -> None:
        """Log the pictures of the policy and of predictions in the run's folder."""
        self._show({name: file for name, file in AT_THE_END.items() if (folder / file).is_file()})

    def close(self) -> None:
        """Finish the trackers. Closing twice is allowed."""
        self._tell(lambda name, tracker: tracker.finish())
        self._trackers.clear()

    def _name(self) -> str:
        """The run's name; within a comparison, with the comparison's name before it."""
        within = (self._folder.parent / "compare.json").is_file()
        return f"{self._folder.parent.name}/{self._folder.name}" if within else self._folder.name

    def _show(self, files: Mapping[str, str]) -> None:
        pictures = {name: _pixels(self._folder / file) for name, file in files.items()}

        def show(name: str, tracker: GeneralTracker) -> None:
            log_images = getattr(tracker, "log_images", None)
            if log_images is None:
                return
            several = {what: picture[None] for what, picture in pictures.items()}
            how = {"dataformats": "NHWC"} if name == "tensorboard" else {}
            log_images(pictures if name in SINGLE else several, step=self._step, **how)

        self._tell(show)

    def _tell(self, what: Callable[[str, GeneralTracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                what(name, tracker)
            except Exception as error:  # nothing that a tracker does is worth the run
                del self._trackers[name]
                self.notice(f"{name} failed and receives nothing more of this run, which continues: {_in_words(error)}")


def numbers_of(event: Event) -> dict[str, float]:
    """The numbers of an event, by names made of those in metrics.jsonl."""
    values: dict[str, float | None] = {}
    match event:
        case StepsTaken():
            of_step = {name: getattr(event, name) for name in ("learning_rate", "images_per_second", "memory")}
            values = {f"{event.stage}/{name}": value for name, value in {**event.means, **of_step}.items()}
        case PassEnded():
            values = {f"{event.stage}/{name}": getattr(event, name) for name in ("epoch", "mean_loss")}
        case Evaluated():
            values = {f"{event.role}/{name}": value for name, value in event.scores.items()}
        case PolicyMoved():
            values = {"policy/search_share": event.search_share, **_nested("policy", event.operations)}
        case SearchEnded():
            values = {**_nested("search", event.gap), **_nested("signal", event.signal)}
    return {name: value for name, value in values.items() if value is not None}


def _nested(prefix: str, values: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    return {f"{prefix}/{one}/{name}": value for one, inner in values.items() for name, value in inner.items()}


def _pixels(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


def _plain_settings(config: Config) -> dict[str, bool | int | float | str]:
    """Every setting that is not null; lists and mappings as JSON."""
    settings = {name: value for name, value in reading.settings_of(config).items() if value is not None}
    plain = bool, int, float, str
    return {name: value if isinstance(value, plain) else json.dumps(value) for name, value in settings.items()}


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
