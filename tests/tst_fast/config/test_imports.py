"""Code of the user's own: run where the user names it, and from a run's folder only where it is named again."""

import json
import shutil
import sys
from contextlib import closing, suppress

import pytest
import torch
from accelerate import Accelerator

from tst_fast.cli import main
from tst_fast.config import reading
from tst_fast.config.schema import LossConfig
from tst_fast.errors import UserError
from tst_fast.models import build_model
from tst_fast.policy.file import PolicyFile
from tst_fast.run.start import open_run
from tst_fast.tasks.own_code import distillation_term
from tst_fast.train import parse

MODULE = """
from pathlib import Path
import torch
from torch import nn
from tst_pipelines import digits

Path("imported").touch()

class Net(nn.Sequential):
    def __init__(self, num_classes, width=3):
        super().__init__(nn.Flatten(), nn.Linear(3 * 16 * 16, width), nn.Linear(width, num_classes))

def apart(student, teacher, labels, weights=None, *, tau):
    return (student - teacher).abs().mean() / tau

def odd(student, teacher):
    return 0

def fixed(student, teacher, labels, weights=None, tau=1.0):
    return (student - teacher).abs().mean() / tau

def wide(student, teacher, labels, weights=None):
    return (student - teacher).abs().mean(dim=1)

def detached(student, teacher, labels, weights=None):
    return (student.detach() - teacher).abs().mean()

def broken(student, teacher, labels, weights=None):
    return student - teacher[:, :3]

class Many(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Flatten(), nn.Linear(3 * 16 * 16, num_classes + 1))

class Dict(Net):
    def forward(self, images):
        return {"logits": super().forward(images)}

class Careless(Net):
    def forward(self, images):
        return images.logits

class Unmade(nn.Module):
    def __init__(self, num_classes):
        raise KeyError(num_classes)

def data(root):
    return digits()

def half(root):
    return digits()[0]

def lost(root):
    return digits()[7]

def number(num_classes):
    return num_classes
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of the user's in the current folder, by another name in each test: modules are imported once."""
    name = f"mine_{tmp_path.name}"
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{name}.py").write_text(MODULE)
    yield name
    sys.modules.pop(name, None)


def _flags(tiny_flags, mine):
    short = "--teacher_training.epochs=1", "--student_training.epochs=1", "--policy.search=none"
    own = f"--student.name={mine}:Net", "--student.arguments={width: 2}", f"--loss.name={mine}:apart"
    return [*tiny_flags, *short, *own, f"--data.name={mine}:data"]


def test_a_run_takes_a_network_a_loss_and_data_of_ones_own(mine, tiny_flags, tmp_path):
    config = reading.from_flags(_flags(tiny_flags, mine))
    assert not (tmp_path / "imported").exists()  # not by reading
    with closing(open_run(config, tmp_path / "run", Accelerator(cpu=True), quiet=True)) as run:
        assert run.session.student[1].out_features == 2
        student, teacher, labels = torch.zeros(2, 3), torch.ones(2, 3), torch.tensor([0, 1])
        assert run.session.task.term(student, teacher, labels, None) == pytest.approx(1 / config.loss.tau)
        assert run.run()["test_images"] == 1397


@pytest.fixture
def run_folder(mine, tiny_flags, tmp_path):
    """What a stranger might send: a run's folder whose configuration names code."""
    folder = tmp_path / "run"
    config = reading.from_flags(_flags(tiny_flags, mine))
    with closing(open_run(config, folder, Accelerator(cpu=True), quiet=True)) as run:
        run.run()
    (tmp_path / "imported").unlink()
    sys.modules.pop(mine)
    return folder


def test_from_a_runs_folder_nothing_is_run_that_is_not_said_again(mine, run_folder, tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy("/dev/null", images / "empty.png")
    said = [word for name in ("Net", "apart", "data") for word in ("--import", f"{mine}:{name}")]
    words = {
        "resume": ["train", "--resume", str(run_folder)],
        "config": ["train", "--config", str(run_folder / "config.yaml"), "--dry_run"],
        "predict": ["predict", str(run_folder), str(images), "--output", str(tmp_path / "answers")],
        "onnx": ["export", "--onnx", str(run_folder)],
        "hub": ["export", "--hub", str(run_folder), "--output", str(tmp_path / "hub")],
    }
    for command in words.values():
        with pytest.raises(SystemExit, match=rf"names code to run .*say so again: --import {mine}:data --import"):
            main(command)
    some = ["--import", f"{mine}:Net", "--import", f"{mine}:data"]
    with pytest.raises(SystemExit, match=rf"\(loss.name {mine}:apart\): .*: --import {mine}:apart$"):
        main([*words["hub"], *some])
    assert not (tmp_path / "imported").exists()
    main([*words["hub"], *said])
    assert (tmp_path / "imported").exists()
    (tmp_path / "imported").unlink()
    main([*words["resume"], *said])  # it has ended: all that is left is to write the results
    with pytest.raises(SystemExit, match="names code to run"):
        main(["predict", str(tmp_path / "hub"), str(images), "--output", str(tmp_path / "answers")])
    config, _ = parse([*words["config"][1:-1], *said, "--student.arguments={width: 5}"])
    assert config.student.arguments == {"width": 5}


@pytest.mark.parametrize(
    "line",
    [
        "student: {name: convnet, arguments: {width: {class_path: MINE.Net, init_args: {num_classes: 2}}}}",
        "student: {name: convnet, arguments: {width: '{class_path: MINE.Net, init_args: {num_classes: 2}}'}}",
        "loss: {features: [{class_path: MINE.Net}]}",
        "loss: {features: [MINE.Net]}",
        "student: MINE.Net",
        "student: {class_path: MINE.Net}",
        "config: other.yaml",
    ],
)
def test_a_class_in_a_configuration_is_not_made(mine, tmp_path, monkeypatch, line):
    """The parser of configurations would import it, and call it."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.yaml").write_text(f"data: {{name: digits}}\n{line.replace('MINE', mine)}\n")
    (tmp_path / "other.yaml").write_text(f"student: {{arguments: {{width: {{class_path: {mine}.Net}}}}}}\n")
    with suppress(UserError):
        arguments = reading.load(tmp_path / "mine.yaml").student.arguments
        assert arguments["width"]["class_path"] == f"{mine}.Net"
    assert not (tmp_path / "imported").exists()


def test_a_policy_runs_nothing(mine, run_folder, tmp_path):
    content = json.loads((run_folder / "policy.json").read_text())
    assert content["provenance"]["student"]["name"] == f"{mine}:Net"
    PolicyFile.read(run_folder / "policy.json")
    main(["export", "--policy", str(run_folder), "--to", "torchvision", "--output", str(tmp_path / "policy.py")])
    assert not (tmp_path / "imported").exists()
    assert mine not in (tmp_path / "policy.py").read_text().split("OPERATIONS")[1]


def test_a_configuration_of_the_users_is_the_users_word(mine, tiny_flags, tmp_path):
    reading.save(reading.from_flags(_flags(tiny_flags, mine)), tmp_path / "mine.yaml")
    assert reading.from_flags(["--config", "mine.yaml"]).student.name == f"{mine}:Net"
    with pytest.raises(UserError, match="names code to run"):
        reading.load(tmp_path / "mine.yaml")  # which is how files of a run are read


def test_what_cannot_be_used_is_told(mine, tiny_config):
    for name, message in {
        f"{mine}:Nett": "has no function or class 'Nett'; did you mean 'Net'",
        f"{mine}_not:Net": r"cannot be imported \(ModuleNotFoundError.*must be installed, in PYTHONPATH, or in the",
        f"{mine}:number": "must give a torch.nn.Module, got int",
        f"{mine}:odd": "does not take the arguments",
    }.items():
        with pytest.raises(UserError, match=message):
            build_model(name, 10, {})
    with pytest.raises(UserError, match=r"must take \(student, teacher, labels, weights\)"):
        distillation_term(LossConfig(name=f"{mine}:odd"))
    with pytest.raises(UserError, match="a training and a test split, each of type ImageDataset or ArrayDataset"):
        open_run(tiny_config(f"--data.name={mine}:half"), None, Accelerator(cpu=True))
    with pytest.raises(UserError, match=r"--data.name is 'digit'; did you mean 'digits'"):
        tiny_config("--data.name=digit")


@pytest.mark.parametrize(
    ("flag", "name", "message"),
    [
        ("loss", "fixed", r"--loss.tau would not reach 'tau', which it takes by position: put a \* before it"),
        ("loss", "wide", r"must give a scalar tensor, got a tensor \[2\]"),
        ("loss", "detached", "gives a tensor without a gradient to the student's logits"),
        ("loss", "broken", r"fails on logits \[2, 10\], int64 labels \[2\] and no weights \(RuntimeError: The size of"),
        ("student", "Many", r"must put out logits \[2, 10\] for 2 images, got a tensor \[2, 11\]"),
        ("student", "Dict", r"must put out logits \[2, 10\] for 2 images, got a dict"),
        ("student", "Careless", r"does not take images of 16 px .*: AttributeError: .* \(in code of your own\)"),
        ("student", "Unmade", r"cannot be made with the arguments \{\} \(KeyError: 10\)"),
        ("data", "lost", r"fails on --data.root None \(IndexError: tuple index out of range\)"),
    ],
)
def test_what_fails_is_told_before_anything_is_trained(mine, tiny_config, steps, flag, name, message):
    bare = ("--student.arguments={}",) if flag == "student" else ()
    with pytest.raises(UserError, match=rf"{mine}:{name}.* {message}"):
        open_run(tiny_config(f"--{flag}.name={mine}:{name}", *bare), None, Accelerator(cpu=True))
    assert not any(steps.values())
