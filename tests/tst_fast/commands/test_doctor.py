"""The doctor finds what was spoilt on purpose, and only that."""

import itertools
import re
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file, save_file

from tst_fast.commands import doctor, doctor_checks
from tst_fast.config.schema import replace
from tst_fast.policy.policy import Policy
from tst_fast.run.plan import count_steps, plan
from tst_fast.run.start import open_run
from tst_pipelines import DataError


@pytest.fixture(scope="module")
def healthy(tiny_config, tmp_path_factory):
    """Flags under which nothing is wrong: a teacher that has learned, and its accuracy."""
    config = tiny_config("--teacher.arguments={channels: [16, 32]}", "--teacher_training.epochs=15")
    folder = tmp_path_factory.mktemp("teacher")
    config = replace(config, student_training__epochs=0)
    with closing(open_run(config, folder, Accelerator(cpu=True), quiet=True)) as run:
        accuracy = run.run()["teacher"]["accuracy"]
    assert accuracy > 0.3  # far above chance, after few steps
    return (
        "--teacher.arguments={channels: [16, 32]}",
        f"--teacher.checkpoint={folder / 'teacher.safetensors'}",
        f"--teacher.expected_score={accuracy}",
    )


def _examine(tiny_flags, flags, capsys):
    """Exit status, and what the table says, in one line."""
    status = 0
    try:
        doctor.main(["digits", *tiny_flags[1:], *flags])
    except SystemExit as stopped:
        status = stopped.code
    return status, " ".join(capsys.readouterr().out.replace("│", " ").split())


def _marks(table):
    return {mark: table.count(f"{mark} ") for mark in "✓✗"}


def test_a_healthy_run(tiny_flags, healthy, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    status, table = _examine(tiny_flags, healthy, capsys)
    assert status == 0, table
    assert _marks(table) == {"✓": 10, "✗": 0}, table
    assert "! policy without effect here, their gradients being zero: Color" in table  # the digits are grey
    assert "40 to 40 training images each; 1,397 to test" in table
    assert "minutes on this machine" in table or "seconds on this machine" in table


def _shuffled(tmp_path, healthy):
    """The same teacher with its classes in another order."""
    state = load_file(healthy[1].partition("=")[2])
    for name in ("classifier.weight", "classifier.bias"):
        state[name] = state[name].roll(1, 0).contiguous()
    save_file(state, tmp_path / "shuffled.safetensors")
    return f"--teacher.checkpoint={tmp_path / 'shuffled.safetensors'}"


SPOILT = {
    "classes in another order": (_shuffled, r"✗ teacher .*the order of its classes with that of the data"),
    "mean in 0..255": (
        "--data.mean=[78, 78, 78]",
        r"✗ normalisation .* set --data.mean and --data.std .*✗ teacher .*compare its --data.mean",
    ),
    "another mean and std": (
        ("--data.mean=[0.6, 0.6, 0.6]", "--data.std=[0.2, 0.2, 0.2]"),
        r"✗ normalisation .*✗ teacher .*compare its --data.mean",
    ),
    "alpha": ("--loss.alpha=0", r"✗ distillation .*raise --loss.alpha"),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_what_was_spoilt_is_found(fault, tiny_flags, healthy, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    flags, message = SPOILT[fault]
    flags = (flags(tmp_path, healthy),) if callable(flags) else (flags,) if isinstance(flags, str) else flags
    status, table = _examine(tiny_flags, (*healthy, *flags), capsys)
    assert status == 1
    assert _marks(table)["✗"] == message.count("✗") or fault == "mean in 0..255", table  # which spoils much else
    assert re.search(message, table), table


def test_what_is_in_the_way_of_a_check_is_wrong_and_the_others_go_on(tiny_flags, healthy, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")

    def damaged(*_):
        raise DataError("[red]/3.jpg: truncated", "exclude")

    monkeypatch.setattr(doctor_checks, "examine_normalisation", damaged)
    monkeypatch.setattr(doctor_checks, "_policy", damaged)  # by the same image
    status, table = _examine(tiny_flags, healthy, capsys)
    assert status == 1 and _marks(table) == {"✓": 8, "✗": 1}, table
    assert re.search(r"✗ normalisation \[red]/3.jpg: truncated --data.exclude FILE, as .tst-fast verify-data", table)


def test_a_damaged_image_does_not_end_the_examination(tmp_path, tiny_flags, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    for name in ("train/a/1.png", "train/a/2.png", "train/b/1.png", "train/b/2.png", "val/a/1.png", "val/b/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (100, 120, 140)).save(tmp_path / name)
    (tmp_path / "train/b/2.png").write_bytes(b"no image")
    flags = ["--data.name=folder", f"--data.root={tmp_path}", "--data.batch_size=2", "--teacher_training.epochs=1"]
    status, table = _examine(tiny_flags, flags, capsys)
    assert status == 1 and table.count("train/b/2.png: not an image") == 1, table
    for found in ("✓ classes 2 classes", "✓ teacher convnet has no checkpoint", "✗ student's loss"):
        assert found in table, table


def test_a_weight_without_a_gradient_is_found(tiny_config, healthy, make_run):
    session = make_run(tiny_config(*healthy)).session
    session.teacher.eval()
    batch = next(iter(session.training_loader))
    assert [finding.state for finding in doctor_checks._gradients(session, batch)] == ["good"] * 3
    session.student.register_parameter("unused", torch.nn.Parameter(torch.zeros(2)))
    found = doctor_checks._gradients(session, batch)[0]
    assert (found.state, "unused" in found.found) == ("wrong", True)
    session.teacher.requires_grad_(True)
    session.learners.student.loss._teach = lambda images: (session.teacher(images), [])  # as if someone forgot no_grad
    assert [finding.check for finding in doctor_checks._gradients(session, batch) if finding.state == "wrong"] == [
        "student's loss",
        "teacher's weights",
    ]


def test_a_teacher_that_is_heeded_for_its_features_alone(tiny_config, healthy, make_run):
    features = "--loss.alpha=0", "--loss.features=[{student: features.3, teacher: features.7}]"
    session = make_run(tiny_config(*healthy, *features)).session
    session.teacher.eval()
    batch = next(iter(session.training_loader))
    assert [finding.state for finding in doctor_checks._gradients(session, batch)] == ["good"] * 3
    session.config.loss.features[0].weight = 0.0
    found = doctor_checks._gradients(session, batch)[-1]
    assert (found.check, found.state) == ("distillation", "wrong")


def test_a_policy_without_levels(tiny_config, healthy, make_run):
    operations = "--policy.operations=[Equalize, AutoContrast]", "--policy.operations_per_image=1"
    session = make_run(tiny_config(*healthy, *operations)).session
    findings = doctor_checks._policy(session, doctor_checks._training_batches(session, itertools.count()))
    assert [finding.check for finding in findings] == ["policy", "search"]
    assert findings[0].found == "a gradient reaches each of 2 operations"


def test_the_margin_is_that_of_a_sample(tiny_config, healthy, make_run, monkeypatch):
    """Of all test images, half a percent; of 100 of 1,397, three standard errors of a sample without replacement."""
    session = make_run(tiny_config(*healthy, "--teacher.expected_score=0.8")).session
    margins = {1397: 0.005, 100: 0.005 + 3 * (0.8 * 0.2 / 100 * 1297 / 1396) ** 0.5}
    for images, margin in margins.items():
        for score, state in ((0.8 - margin + 1e-6, "good"), (0.8 - margin - 1e-6, "wrong")):
            found = SimpleNamespace(scores={"accuracy": score})
            monkeypatch.setattr(doctor_checks, "evaluate", lambda *_, found=found: found)
            with closing(doctor_checks._some_test_images(session, images)) as sample:
                assert doctor_checks._teacher(session, sample).state == state


def test_other_crops_than_the_published_are_told(tiny_config, healthy, make_run):
    flags = (
        "--student.name=timm/vit_tiny_patch16_224",
        "--student.arguments={depth: 1, img_size: 16, embed_dim: 16, num_heads: 2}",
    )
    session = make_run(tiny_config(*healthy, *flags)).session
    assert list(doctor_checks._preparation(session, "student")) == []  # it has no weights of anyone's
    session.config.student.checkpoint = Path("student.pth")
    (finding,) = doctor_checks._preparation(session, "student")
    assert finding.found.endswith("is published for 224 px, resized to 248 px, bicubic")
    assert "try --data.image_size 224, --data.interpolation bicubic, --data.resize 248" in finding.remedy
    assert list(doctor_checks._preparation(session, "teacher")) == []  # ours, of which nothing is published


def test_the_sample_of_test_images_is_of_every_class(tiny_config, healthy, make_run):
    session = make_run(tiny_config(*healthy)).session
    with closing(doctor_checks._some_test_images(session, 200)) as sample:
        labels = torch.cat([batch.labels for batch in sample])
    assert len(labels) == 200
    assert labels.bincount().min() >= 15
    with closing(doctor_checks._some_test_images(session, 5000)) as sample:
        assert len(sample.dataset) == 1397


def test_a_level_without_a_gradient_is_found(tiny_config, healthy, make_run, monkeypatch):
    levels = Policy.levels
    monkeypatch.setattr(Policy, "levels", lambda self: levels(self).detach())
    session = make_run(tiny_config(*healthy)).session
    (finding,) = doctor_checks._policy(session, doctor_checks._training_batches(session, itertools.count()))
    assert (finding.state, "level of ShearX, ShearY" in finding.found) == ("wrong", True)


def test_the_steps_of_an_interleaved_search_are_counted(tiny_config):
    config = tiny_config("--policy.search=interleaved", "--policy.search_every=5", "--policy.search_steps=2")
    assert count_steps(config, plan(config, 4)) == {"teacher": 8, "search": 6, "student": 12}  # 0 1 5 6 10 11
    listed = replace(config, policy__search="listed", policy__search_fraction=0.5)
    assert count_steps(listed, plan(listed, 4)) == {"teacher": 8, "search": 4, "student": 12}
