"""Trackers: TensorBoard's files read back, and a stand-in in the place of those that need an account."""

import json
from collections import defaultdict
from typing import ClassVar

import numpy as np
import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator

from tests.tst_fast.events import events_of
from tst_fast.errors import UserError
from tst_fast.report import services
from tst_fast.report.services import SERVICES, Place, require_trackers
from tst_fast.train import main


def expected_of(folder):
    """Name to step to value, from metrics.jsonl; without what is measured of the machine."""
    curves = defaultdict(dict)
    for event in events_of(folder):
        step, stage = event["global_step"], event["stage"]
        found = {
            "steps": lambda e: {**e["means"], "learning_rate": e["learning_rate"]},
            "pass": lambda e: {"epoch": e["epoch"], "mean_loss": e["mean_loss"]},
            "evaluation": lambda e: e["scores"],
        }.get(event["event"], lambda e: {})(event)
        of = event.get("role", stage)
        for name, value in found.items():
            curves[f"{of}/{name}"][step] = value
        nested = {"policy": ("policy", "operations"), "search": ("search", "gap")}.get(event["event"])
        for one, inner in event[nested[1]].items() if nested else ():
            for name, value in inner.items():
                if value is not None:
                    curves[f"{nested[0]}/{one}/{name}"][step] = value
        for one, inner in event.get("signal", {}).items():
            for name, value in inner.items():
                curves[f"signal/{one}/{name}"][step] = value
    return dict(curves)


def pixels(file):
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


MEASURED = ("images_per_second", "memory", "search_share")


def test_tensorboard_holds_what_metrics_jsonl_holds_also_of_a_resumed_run(tiny_config, make_run, stop_run):
    config = tiny_config("--track=tensorboard")
    folder = stop_run(config, 11)  # a step behind the checkpoint
    resumed = make_run(config)
    resumed.resume()
    resumed.run()
    resumed.close()
    found = EventAccumulator(str(folder / "tensorboard"), STORE_EVERYTHING_SIZE_GUIDANCE).Reload()
    curves = {name: [(one.step, one.value) for one in found.Scalars(name)] for name in found.Tags()["scalars"]}
    assert {name for name in curves if name.rpartition("/")[2] in MEASURED} == {
        *(f"{stage}/{name}" for stage in ("teacher", "search", "student") for name in MEASURED[:2]),
        "policy/search_share",
    }
    numbers = {name: curve for name, curve in curves.items() if name.rpartition("/")[2] not in MEASURED}
    expected = expected_of(folder)
    assert set(numbers) == set(expected)
    for name, values in expected.items():
        assert [step for step, _ in numbers[name]] == list(values), name  # each once
        assert [value for _, value in numbers[name]] == pytest.approx(list(values.values()), rel=1e-6), name
    assert set(found.Tags()["images"]) >= {"search/plain", "search/trained", "search/operations", "policy"}
    (picture,) = found.Images("policy")
    assert (picture.height, picture.width) == pixels(folder / "policy.png").shape[:2]


class StandIn(GeneralTracker):
    """Keeps what it is told."""

    name, requires_logging_directory = "wandb", False
    begun: ClassVar[list] = []

    def __init__(self, run_name, **options):
        super().__init__()
        self.project, self.options = run_name, options
        self.logged, self.pictures, self.settings, self.finished = [], {}, None, 0
        self.begun.append(self)

    @property
    def tracker(self):
        return self

    def store_init_configuration(self, values):
        self.settings = values

    def log(self, values, step=None, **kwargs):
        self.logged.append((step, values))

    def log_images(self, values, step=None, **kwargs):
        self.pictures |= values

    def finish(self):
        self.finished += 1


@pytest.fixture
def stand_in(monkeypatch):
    """In the place of Weights & Biases."""
    monkeypatch.setattr(StandIn, "begun", [])
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "wandb", StandIn)
    monkeypatch.setattr(services, "get_available_trackers", lambda: ["wandb"])
    return StandIn


def test_a_resumed_run_is_the_same_run_of_the_tracker(tiny_config, make_run, stop_run, stand_in):
    config = tiny_config("--track=wandb", "--policy.search_epochs=1", "--student_training.epochs=2")
    folder = stop_run(config, 11)
    run = make_run(config)
    run.resume()
    run.run()
    run.close()
    run.close()
    first, second = stand_in.begun
    assert first.project == second.project == "digits"
    assert first.options == second.options
    assert first.options["id"] == json.loads((folder / "trackers.json").read_text())["wandb"]
    assert (first.options["name"], first.options["resume"]) == (folder.name, "allow")
    assert first.settings["student_training.epochs"] == 2 and first.settings["policy.search_at"] == "[1]"
    assert all(isinstance(value, bool | int | float | str) for value in first.settings.values())
    assert second.settings is None
    assert (first.finished, second.finished) == (1, 1)
    logged = [(step, values) for one in (first, second) for step, values in one.logged]
    told = {(step, name): value for step, values in logged for name, value in values.items()}
    expected = {(step, name): value for name, curve in expected_of(folder).items() for step, value in curve.items()}
    assert {key: value for key, value in told.items() if key[1].rpartition("/")[2] not in MEASURED} == expected
    assert np.array_equal(second.pictures["search/plain"], pixels(folder / "pictures" / "search00-plain.png")[None])


def test_a_tracker_that_fails_does_not_stop_the_run(tiny_flags, tmp_path, stand_in, monkeypatch, capsys):
    def fails(self, values, step=None, **kwargs):
        self.logged.append((step, values))
        if step > 1:
            raise ConnectionError("no\nroute")

    monkeypatch.setattr(stand_in, "log", fails)
    main([*tiny_flags, "--track=wandb", "--student_training.epochs=1", "--policy.search=none", f"--output={tmp_path}"])
    output = capsys.readouterr().out
    assert (
        output.count(
            "warning: wandb failed and receives nothing more of this run, which continues: ConnectionError: no route\n"
        )
        == 1
    )
    assert "student accuracy on 1,397 test images" in output
    assert len(stand_in.begun[0].logged) == 2


def test_a_tracker_that_cannot_begin_stops_it(tiny_flags, tmp_path, stand_in, monkeypatch):
    def fails(self):
        raise ValueError("no account")

    monkeypatch.setattr(stand_in, "start", fails)
    with pytest.raises(SystemExit, match=r"error: --track wandb cannot be started: ValueError: no account"):
        main([*tiny_flags, "--track=wandb", f"--output={tmp_path}"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["tensorboard", "wandv"], r"--track: no tracker 'wandv'; did you mean 'wandb'\?"),
        (["comet_ml"], r"--track comet_ml needs its package: pip install comet_ml"),
    ],
)
def test_what_cannot_be_tracked_is_refused_by_name(names, message, monkeypatch):
    monkeypatch.setattr(services, "get_available_trackers", lambda: ["tensorboard"])
    with pytest.raises(UserError, match=message):
        require_trackers(names)


def test_it_is_refused_before_anything_takes_time(tiny_flags, tmp_path, monkeypatch):
    monkeypatch.setattr(services, "get_available_trackers", lambda: [])
    with pytest.raises(SystemExit, match=r"error: --track tensorboard needs .*"):
        main([*tiny_flags, "--track=tensorboard", "--data.root=/nowhere", f"--output={tmp_path}"])
    assert list(tmp_path.iterdir()) == []


def test_every_tracker_of_accelerate_has_its_place(tmp_path):
    """That of a run begun before is told by what the tracker called it."""
    assert set(SERVICES) == set(LOGGER_TYPE_TO_CLASS)
    new, known = (Place("digits", "run", tmp_path, "7" * 32, 10, resumed) for resumed in (False, True))
    options = {name: (service.options(new), service.options(known)) for name, service in SERVICES.items()}
    assert options["tensorboard"] == ({}, {"purge_step": 11})
    assert options["mlflow"] == ({"run_name": "run"}, {"run_name": "run", "run_id": "7" * 32})
    assert options["aim"] == ({"experiment": "digits"}, {"experiment": "digits", "run_hash": "7" * 32})
    assert options["comet_ml"][0] == options["comet_ml"][1] == {"experiment_key": "7" * 32, "mode": "get_or_create"}
    assert [one["resume"] for one in options["dvclive"]] == [False, True]
    assert [one["reuse_last_task_id"] for one in options["clearml"]] == [False, "7" * 32]
    for name in ("wandb", "swanlab", "trackio"):
        assert options[name][0] == options[name][1] and options[name][0]["resume"] == "allow"
