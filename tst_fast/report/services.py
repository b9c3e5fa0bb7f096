"""How each of Accelerate's trackers is started, so that a resumed run continues as the same run in it."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers

from tst_fast.errors import UserError, nearest


@dataclass(frozen=True)
class Place:
    """A run in a tracker.

    Attributes:
        project: of the tracker; the configuration's name.
        name: of the run in it.
        folder: of the run.
        identity: of the run in the tracker: the one of before, or a new one that the tracker may use.
        global_step: from which the run continues.
        resumed: whether the tracker knows the run already.
    """

    project: str
    name: str
    folder: Path
    identity: str
    global_step: int
    resumed: bool


@dataclass(frozen=True)
class Service:
    """How a tracker is started.

    Attributes:
        options: for Accelerate's class.
        identity: of the run, where the tracker chooses it.
        project: what Accelerate calls the run's name; most trackers take it as the project.
        folder: for trackers that log to a folder.
    """

    options: Callable[[Place], Mapping[str, Any]] = lambda place: {}
    identity: Callable[[Any], str] | None = None
    project: Callable[[Place], str] = lambda place: place.project
    folder: Callable[[Place], Path] = lambda place: place.folder


def _tensorboard(place: Place) -> Mapping[str, Any]:
    """Readers of the file skip what was written after the checkpoint."""
    return {"purge_step": place.global_step + 1} if place.resumed else {}


def _wandb(place: Place) -> Mapping[str, Any]:
    return {"id": place.identity, "name": place.name, "resume": "allow", "dir": str(place.folder)}


def _swanlab(place: Place) -> Mapping[str, Any]:
    where = {"logdir": str(place.folder / "swanlab"), "experiment_name": place.name}
    return {"id": place.identity[:21], "resume": "allow", **where}  # older versions take 21 characters alone


def _clearml(place: Place) -> Mapping[str, Any]:
    known = {"reuse_last_task_id": place.identity, "continue_last_task": 0}  # 0: steps are counted as they are given
    named = {"project_name": place.project, "task_name": place.name}
    return {**named, **(known if place.resumed else {"reuse_last_task_id": False})}


def _dvclive(place: Place) -> Mapping[str, Any]:
    folder = place.folder / "dvclive"
    return {"dir": str(folder), "dvcyaml": str(folder / "dvc.yaml"), "resume": place.resumed}


SERVICES: Mapping[str, Service] = {
    "tensorboard": Service(_tensorboard, project=lambda place: "tensorboard"),
    "wandb": Service(_wandb),
    "trackio": Service(lambda place: {"name": place.name, "resume": "allow"}),
    "comet_ml": Service(lambda place: {"experiment_key": place.identity, "mode": "get_or_create"}),
    "mlflow": Service(
        lambda place: {"run_name": place.name, **({"run_id": place.identity} if place.resumed else {})},
        identity=lambda run: run.info.run_id,
    ),
    "aim": Service(
        lambda place: {"experiment": place.project, **({"run_hash": place.identity} if place.resumed else {})},
        identity=lambda run: run.hash,
        project=lambda place: place.name,
        folder=lambda place: place.folder.parent,
    ),
    "clearml": Service(_clearml, identity=lambda task: task.id),
    "dvclive": Service(_dvclive),
    "swanlab": Service(_swanlab),
}


def require_trackers(names: Sequence[str]) -> None:
    """Check that trackers can be started, before anything takes time.

    Raises:
        UserError: Accelerate knows no tracker of this name, or its package is missing.
    """
    for name in names:
        known = sorted(LOGGER_TYPE_TO_CLASS)
        if name not in known:
            raise UserError(f"--track: no tracker {name!r}{nearest(name, known)} Trackers are {', '.join(known)}.")
        if name not in map(str, get_available_trackers()):
            there = importlib.util.find_spec(name) is not None
            remedy = "another version of it" if there else f"its package: pip install {name}"
            raise UserError(f"--track {name} needs {remedy}")


def begin(name: str, place: Place) -> GeneralTracker:
    """Start a tracker, or continue the run that it knows."""
    service, kind = SERVICES.get(name, Service()), LOGGER_TYPE_TO_CLASS[name]
    folder = [str(service.folder(place))] if kind.requires_logging_directory else []
    tracker = kind(service.project(place), *folder, **service.options(place))
    tracker.start()
    return tracker


def identity_of(name: str, tracker: GeneralTracker, place: Place) -> str:
    """The run's identity in the tracker."""
    service, run = SERVICES.get(name, Service()), getattr(tracker, "tracker", None)
    return place.identity if service.identity is None else service.identity(run)
