"""A run's own weights: those of its best epoch, and what another run, or a longer one, can begin from."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from tst_fast.errors import UserError
from tst_fast.models import ConvNet, load_weights, save_weights
from tst_fast.models.weights import saved_epoch
from tst_fast.run.milestones import Milestones
from tst_fast.train import main, parse


@pytest.fixture
def falling(monkeypatch):
    """The student's scores, made up: the second epoch is the best."""
    scores, seen = iter([0.3, 0.6, 0.5, 0.4]), []

    def made_up(self, role, network, current):
        if role == "student":
            seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return {"accuracy": next(scores) if role == "student" else 0.9}

    monkeypatch.setattr(Milestones, "_evaluate", made_up)
    return seen


def test_weights_of_the_same_classes_in_another_order_are_refused(make_run, tiny_config, tmp_path):
    file = tmp_path / "teacher.safetensors"
    save_weights(ConvNet(10, channels=[4, 8]), file, "convnet", "0123456798")
    with pytest.raises(UserError, match=r"another order: class 8 is '9' there and '8' in the data.*, 6, 7, 9, 8"):
        make_run(tiny_config(f"--teacher.checkpoint={file}"))


def test_a_teacher_that_has_learned_leaves_no_state_of_its_optimizer(make_run, tiny_config):
    run = make_run(tiny_config())
    optimizer = run.learners.teacher.optimizer
    run.run()
    assert not optimizer.state


CONSTANT = "--student_training.optimizer.schedule=multi_step"


def test_the_best_epoch_is_kept_beside_the_last(falling, tiny_config, make_run):
    run = make_run(tiny_config("--policy.search=none", "--teacher_training.epochs=1"))
    result = run.run()
    assert result["student_best"] == {"epoch": 1, "accuracy": 0.6}
    for name, epoch in (("student_best", 1), ("student", 2)):
        torch.testing.assert_close(load_file(run.folder / f"{name}.safetensors"), falling[epoch], atol=0, rtol=0)
    assert saved_epoch(run.folder / "student_best.safetensors") == 1
    assert saved_epoch(run.folder / "student.safetensors") is None


def test_weights_of_a_course_that_was_left_are_removed(falling, tiny_config, make_run, stop_run):
    config = tiny_config("--policy.search=none", "--teacher_training.epochs=1")
    folder = stop_run(config, 4 + 8 + 1)  # after the best epoch
    save_weights(ConvNet(10, channels=[4]), folder / "student_best.safetensors", "convnet", "0123456789", epoch=7)
    run = make_run(config)
    run.resume()
    run.run()
    assert not (folder / "student_best.safetensors").exists()


@pytest.mark.parametrize("of", ["folder", "checkpoint"])
def test_a_run_gives_weights_to_another(whole_run, make_run, tiny_config, of):
    given = whole_run.folder if of == "folder" else whole_run.folder / "checkpoints" / "000000028.pt"
    flags = ["--student.checkpoint", str(given), "--teacher.checkpoint", str(whole_run.folder)]
    session = make_run(tiny_config(*flags)).session
    for role in ("student", "teacher"):
        found = getattr(session, role).state_dict()
        torch.testing.assert_close(dict(found), load_file(whole_run.folder / f"{role}.safetensors"), atol=0, rtol=0)


def test_a_teacher_with_weights_is_trained_first_where_it_is_told(whole_run, make_run, tiny_config):
    flags = ["--teacher_training.epochs=1", "--student_training.epochs=1", "--policy.search=none"]
    run = make_run(tiny_config(*flags, "--teacher.fine_tune=true", f"--teacher.checkpoint={whole_run.folder}"))
    given = load_file(whole_run.folder / "teacher.safetensors")
    torch.testing.assert_close(dict(run.session.teacher.state_dict()), given, atol=0, rtol=0)
    run.run()
    assert [one.stage for one in run.session.passes] == ["teacher", "student"]
    learned = load_file(run.folder / "teacher.safetensors")
    assert not any(torch.equal(learned[name], given[name]) for name in given if name.endswith("weight"))


def test_of_a_checkpoint_the_moving_average_is_taken_and_connectors_are_not(tmp_path):
    network = ConvNet(3, channels=[4])
    other = {name: value + 1 for name, value in network.state_dict().items()}
    learner = {"model": {f"network.{name}": value for name, value in other.items()}, "average": None}
    learner["model"]["connectors.0.weight"] = torch.zeros(2)
    averaged = {"model": network.state_dict(), "average": other}
    for number, state in enumerate((learner, averaged)):
        torch.save({"version": 3, "learners": {"student": state}}, tmp_path / f"{number}.pt")
        fresh = ConvNet(3, channels=[4])
        load_weights(fresh, tmp_path / f"{number}.pt", "student")
        torch.testing.assert_close(fresh.state_dict(), other, atol=0, rtol=0)
    with pytest.raises(UserError, match=r"holds no teacher: .* give its teacher.safetensors"):
        load_weights(ConvNet(3, channels=[4]), tmp_path / "0.pt", "teacher")


def test_a_folder_without_the_weights_says_what_it_has(tmp_path):
    with pytest.raises(UserError, match=r"--teacher.checkpoint .* holds no teacher.safetensors: it is no run's"):
        load_weights(ConvNet(3, channels=[4]), tmp_path, "teacher")
    (tmp_path / "student.safetensors").touch()
    with pytest.raises(UserError, match=r"holds no teacher.safetensors: give one of .*/student.safetensors"):
        load_weights(ConvNet(3, channels=[4]), tmp_path, "teacher")


def test_a_run_that_has_ended_is_made_longer(make_run, tiny_config):
    """To the bits of one that was as long from the beginning, where the rates are the same."""
    flags = ["--policy.search=none", "--teacher_training.epochs=1", CONSTANT]
    short, whole = make_run(tiny_config(*flags), "short"), make_run(tiny_config(*flags, "--student_training.epochs=4"))
    for run in (short, whole):
        run.run()
    short.close()
    config, options = parse(["--resume", str(short.folder), "--override", "student_training.epochs=4"])
    longer = make_run(config, "short")
    longer.resume(options.elastic, options.override)
    result = longer.run()
    assert [scores["epoch"] for scores in longer.progress.student_scores] == [0, 1, 2, 3]
    assert result["student_best"]["epoch"] == saved_epoch(short.folder / "student_best.safetensors")
    for name in ("student", "student_best"):
        found, expected = (load_file(run.folder / f"{name}.safetensors") for run in (longer, whole))
        torch.testing.assert_close(found, expected, atol=0, rtol=0)


REFUSED = {
    "student_training.epochs=9": "the student has begun on a schedule of 3 epochs, and one_cycle brings",
    "teacher_training.epochs=9": "the teacher has begun on a schedule of 2 epochs, and one_cycle brings",
    "policy.search_at=[0]": r"cannot go on with another policy.search_at \(\[1\] before, now \[0\]\)",
    "data.batch_size=50": "the run began with 100, and epochs and learning rates are counted in steps",
    "policy.operations=[Rotate, ShearX, Invert, Cutout]": "the policy has learned a probability and a level of each",
    "policy.sign=learned": "the run began with random, and it decides what the numbers mean",
    "student_training.optimizer.name=adamw": "the student has begun with sgd, whose state adamw cannot use",
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_is_past_is_not_changed(override, whole_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole_run.folder, folder)
    with pytest.raises(SystemExit, match=REFUSED[override]):
        main(["--resume", str(folder), "--override", override])
