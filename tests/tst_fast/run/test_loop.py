"""The course of a run: what its networks see, what it leaves, and what comes of that."""

import csv
import json

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from tests.tst_fast.events import events_of
from tst_fast.config.schema import replace
from tst_fast.errors import UserError
from tst_fast.models import ConvNet
from tst_fast.policy.file import PolicyFile
from tst_fast.run.evaluate import evaluate_checkpoints
from tst_fast.run.update import ModelUpdate

ROLES = ("teacher", "student")


def test_a_run_leaves_what_it_promises(whole_run):
    folder, result = whole_run.folder, whole_run.result
    assert json.loads((folder / "result.json").read_text()) == result
    assert {"teacher", "student", "images_per_second", "wall_seconds"} <= set(result)
    assert round(result["student"]["accuracy"] * 1397, 6) % 1 == 0
    learned = [row["probability"] for row in json.loads((folder / "policy.json").read_text())["operations"]]
    assert len(learned) == 14
    assert any(abs(value - 0.5) > 1e-4 for value in learned)
    (gap,) = result["held_out_gaps"]
    assert gap["epoch"] == 1 and gap["trained"] != gap["untrained"]
    assert {event["stage"] for event in events_of(folder)} == {"teacher", "search", "student"}
    steps = [event for event in events_of(folder, "steps") if event["stage"] in ("search", "student")]
    assert len(steps) == 8 + 12
    assert all(0 < event["means"][f"{role}_confidence"] < 1 for event in steps for role in ROLES)
    evaluated = [(event["role"], event["scores"]) for event in events_of(folder, "evaluation")]
    assert evaluated[0] == ("teacher", result["teacher"])
    scores = [{"epoch": epoch, **found} for epoch, (_, found) in enumerate(evaluated[1:])]
    assert scores == whole_run.run.progress.student_scores
    assert scores[-1] == {"epoch": 2, **result["student"]}
    assert max(scores, key=lambda each: each["accuracy"]) == result["student_best"]
    _check_by_class(folder, result, events_of(folder, "evaluation"))
    assert (folder / "policy.png").read_bytes().startswith(b"\x89PNG")
    student = ConvNet(10, channels=[4])
    student.load_state_dict(load_file(folder / "student.safetensors"))  # the student alone, and all of it
    torch.testing.assert_close(student.state_dict(), whole_run.run.session.student.state_dict(), atol=0, rtol=0)


def _check_by_class(folder, result, evaluations):
    """The last evaluation of each network, by class: shares of right answers that fit the table and the score."""
    for role in ROLES:
        last = [event for event in evaluations if event["role"] == role][-1]
        assert result["by_class"][role] == last["by_class"]
        header, *rows = csv.reader((folder / f"confusion_{role}.csv").read_text().splitlines())
        assert header[1:] == [row[0] for row in rows] == list(last["by_class"]["accuracy"])
        counts = np.array([row[1:] for row in rows], int)
        assert list(result["by_class"][role]["accuracy"].values()) == list(counts.diagonal() / counts.sum(axis=1))
        assert result[role]["accuracy"] == counts.trace() / counts.sum()
        assert result[role]["accuracy"] < result[role]["top5_accuracy"] <= 1


@pytest.mark.parametrize(
    ("flags", "searched"),
    [
        ("--policy.search_fraction=0.5", 2 * 2),
        ("--policy.search=interleaved", 1),
        (("--policy.search=interleaved", "--policy.search_every=3", "--policy.search_steps=2"), 8),
        ("--policy.search=none", 0),
    ],
)
def test_the_student_sees_each_image_once_an_epoch(tiny_config, make_run, monkeypatch, flags, searched):
    seen = {"student": [], "search": []}
    run = make_run(tiny_config("--teacher_training.epochs=1", *([flags] if isinstance(flags, str) else flags)))
    for stage, indices in seen.items():
        step = run.learners.of(stage).step

        def recorded(batch, step=step, indices=indices):
            indices.append(batch.indices)
            return step(batch)

        monkeypatch.setattr(run.learners.of(stage), "step", recorded)
    result = run.run()
    assert len(seen["student"]) == 12
    for epoch in range(3):
        images = np.concatenate(seen["student"][4 * epoch : 4 * epoch + 4])
        assert sorted(images) == list(range(400))
    assert len(seen["search"]) == searched
    assert len(run.progress.history) == 1 + {"interleaved": 3, "listed": 2, "none": 0}[run.config.policy.search]
    assert (result["search_share"] > 0) == (searched > 0)
    if searched == 8:  # on the batch that the student learns from next
        expected = [seen["student"][step] for step in range(12) if step % 3 < 2]
        assert all((own == its).all() for own, its in zip(seen["search"], expected, strict=True))


def test_evaluation_every_other_epoch(tiny_config, make_run):
    flags = ("--teacher_training.epochs=1", "--policy.search=none", "--student_training.epochs=3")
    run = make_run(tiny_config(*flags, "--evaluate_every=2"))
    run.run()
    scores = [
        {"epoch": event["epoch"], **event["scores"]}
        for event in events_of(run.folder, "evaluation")
        if event["role"] == "student"
    ]
    assert [each["epoch"] for each in scores] == [1, 2]
    assert scores == run.progress.student_scores


def test_the_moving_average_is_what_is_judged_and_kept(whole_run_of):
    averaged = whole_run_of("interleaved, and every option")
    kept = load_file(averaged.folder / "student.safetensors")
    own, average = (averaged.run.learners.student.state_dict()[name] for name in ("model", "average"))
    torch.testing.assert_close(kept, dict(average), atol=0, rtol=0)
    assert not torch.equal(kept["classifier.weight"], own["classifier.weight"])
    config = replace(
        averaged.config, **{f"{role}__checkpoint": averaged.folder / f"{role}.safetensors" for role in ROLES}
    )
    assert evaluate_checkpoints(config, Accelerator(cpu=True)) == {role: averaged.result[role] for role in ROLES}


def test_nan_stops_the_run_with_step_and_images(tiny_config, make_run, monkeypatch):
    real = ModelUpdate.step

    def poisoned(self, batch):
        report = real(self, batch)
        return {**report, "loss": report["loss"] * float("nan")} if self.step_count == 3 else report

    monkeypatch.setattr(ModelUpdate, "step", poisoned)
    run = make_run(tiny_config())
    message = r"not finite at step 2 of teacher epoch 0, in the batch of .*png.* and 97 more images"
    with pytest.raises(UserError, match=message):
        run.run()


def test_a_learned_policy_starts_another_run(whole_run, tiny_config, make_run):
    for given in (whole_run.folder / "policy.json", whole_run.folder):
        another = make_run(tiny_config(f"--policy.init={given}"))
        for before, after in zip(whole_run.run.session.policy.learned(), another.session.policy.learned(), strict=True):
            assert after.probability == pytest.approx(before.probability, abs=1e-6)
        another.close()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "--policy.init .* holds no policy.json: it is no run's folder, or of one that has not ended"),
        ("nothing.json", "nothing.json is not a readable policy.json: no such file or directory$"),
    ],
)
def test_a_policy_that_is_not_there(given, message, tiny_config, make_run, tmp_path):
    with pytest.raises(UserError, match=message):
        make_run(tiny_config(f"--policy.init={tmp_path / given}"))


def test_the_policy_says_where_it_comes_from(whole_run):
    policy = PolicyFile.read(whole_run.folder / "policy.json")
    assert policy.provenance["config"] == "digits"
    assert policy.provenance["data"]["fingerprint"] == whole_run.run.session.training_loader.dataset.fingerprint
    assert policy.provenance["teacher"] == {"name": "convnet", "scores": whole_run.result["teacher"]}
    assert policy.provenance["student"]["scores"] == whole_run.result["student"]
    assert policy.fill == list(whole_run.config.data.mean)
    before, *_, after = policy.history["Rotate"]["probability"]
    assert len(policy.history["Rotate"]["probability"]) == 3  # before, and after each of two passes
    assert (before, after) == (0.5, policy.operations[4].probability)


def test_the_kept_teacher_is_used_as_it_is(whole_run, tiny_config, make_run):
    file = whole_run.folder / "teacher.safetensors"
    another = make_run(tiny_config(f"--teacher.checkpoint={file}", "--student_training.epochs=2"))
    assert another.run()["teacher"] == whole_run.result["teacher"]
    assert all(not parameter.requires_grad for parameter in another.session.teacher.parameters())


def test_arms_of_a_comparison_start_from_the_same_student(tiny_config, make_run):
    config = tiny_config()
    alone = make_run(replace(config, distillation__teacher=False), "alone").session.student
    taught = make_run(config, "taught").session.student
    torch.testing.assert_close(alone.state_dict(), taught.state_dict(), atol=0, rtol=0)
