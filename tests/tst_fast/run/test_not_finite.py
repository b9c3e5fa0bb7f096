"""A step that leaves NaN stops the run, by name, and can be taken again: loss, gradient, policy."""

import json
import re

import pytest
import torch

from tst_fast.commands.replay import main
from tst_fast.errors import UserError
from tst_fast.run.not_finite import Dump, NotFinite
from tst_fast.run.search import PolicySearch
from tst_fast.run.update import ModelUpdate

RARELY = ("--log_every=1000", "--checkpoint_every=1000")


def _spoil(monkeypatch, learner, parameters, step):
    """A NaN in the gradient of one weight, in the step with this number; the loss stays what it is."""
    real, count = learner.step, [0]

    def spoilt(self, batch):
        value = parameters(self)[0]
        number, count[0] = count[0], count[0] + 1
        handle = value.register_hook(lambda gradient: gradient * float("nan")) if number == step else None
        scalars = real(self, batch)
        if handle is not None:
            handle.remove()
        return scalars

    monkeypatch.setattr(learner, "step", spoilt)


def test_a_gradient_that_is_not_finite_stops_at_its_step(tiny_config, make_run, monkeypatch):
    """Six steps of NaN losses follow before anyone looks."""
    with monkeypatch.context() as patch:
        _spoil(patch, ModelUpdate, lambda update: list(update.model.parameters()), 1)
        run = make_run(tiny_config(*RARELY))
        with pytest.raises(
            UserError, match="gradient norm is not finite at step 1 of teacher epoch 0, in the batch of"
        ):
            run.run()
    assert not (run.folder / "checkpoints").exists()


def test_the_policy_gets_the_same_message(tiny_config, make_run, monkeypatch):
    """The draw after the step is refused by the kernels; what the user hears of is the step."""
    with monkeypatch.context() as patch:
        _spoil(patch, PolicySearch, lambda search: list(search.policy.parameters()), 2)
        run = make_run(tiny_config(*RARELY))
        message = r"gradient norm is not finite at step 2 of search epoch 1, .*Lower --policy.learning_rate"
        with pytest.raises(UserError, match=message):
            run.run()


def test_an_error_that_is_not_of_nan_stays_itself(tiny_config, make_run, monkeypatch):
    def broken(self, batch):
        raise RuntimeError("out of memory")

    run = make_run(tiny_config())
    monkeypatch.setattr(ModelUpdate, "step", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        run.run()


@pytest.mark.parametrize("checkpoint_every", [2, 1000], ids=["from a checkpoint", "from the beginning"])
def test_replay_takes_the_step_again(tiny_config, make_run, capsys, checkpoint_every):
    """A rate that makes the weights overflow: what is found again is where the overflow begins."""
    overflow = "--student_training.optimizer.learning_rate=1e25", f"--checkpoint_every={checkpoint_every}"
    run = make_run(tiny_config("--log_every=1000", "--policy.search=none", "--teacher_training.epochs=1", *overflow))
    with pytest.raises(UserError) as stopped:
        run.run()
    folder = re.search(r"tst-fast replay (\S+)`", str(stopped.value))[1]
    dump = Dump.read(run.folder / folder.rpartition("/")[2])
    assert dump.stage == "student" and len(dump.files) == 100
    before = {file: file.stat().st_mtime_ns for file in run.folder.rglob("*")}
    main([folder])
    said = capsys.readouterr().out
    assert f"step {dump.step} of student epoch 0" in said
    assert re.search(r"what student\.\S+ \((Conv2d|BatchNorm2d|Linear|Sequential)\) gives|weights of student", said), (
        said
    )
    assert {file: file.stat().st_mtime_ns for file in run.folder.rglob("*")} == before


def test_replay_says_so_if_the_step_is_finite_this_time(tiny_config, make_run, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        _spoil(patch, ModelUpdate, lambda update: list(update.model.parameters()), 3)
        run = make_run(tiny_config(*RARELY))
        with pytest.raises(UserError):
            run.run()
    (folder,) = run.folder.glob("not_finite-*")
    main([str(folder)])
    assert re.search(r"nothing this time: loss \d", capsys.readouterr().out)


DUMP = {
    "version": 1,
    "stage": "student",
    "epoch": 0,
    "pass_index": 0,
    "step": 1,
    "what": "the loss",
    "files": ["a"],
    "processes": 1,
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "holds no dump of a run that was not finite"),
        ("", "dump.json is no dump"),
        ("[1]", "dump.json is no dump of a run that was not finite: it must be an object"),
        ("[" * 100_000, "dump.json is no dump"),
        (json.dumps({**DUMP, "version": 7}), "is a dump of another version"),
        (
            json.dumps({**DUMP, "stage": "policy"}),
            "stage is 'policy': it must be one of 'teacher', 'search', 'student'",
        ),
        (json.dumps({**DUMP, "step": -1}), "step is -1: it must be a whole number"),
        (json.dumps({**DUMP, "step": True}), "step is True: it must be a whole number"),
        (json.dumps({**DUMP, "files": ["a", 1]}), r"files is \['a', 1\]: it must be a list of text"),
        (json.dumps({**DUMP, "more": 1}), "it has no 'more'"),
        (json.dumps({"version": 1, "stage": "student"}), "it lacks epoch"),
        (json.dumps({**DUMP, "what": "x" * 40_000_000}), "it has more than 33,554,432 bytes"),
    ],
    ids=range(12),
)
def test_replay_refuses_what_is_no_dump(tmp_path, text, message):
    if text is not None:
        (tmp_path / "dump.json").write_text(text)
    with pytest.raises(SystemExit, match=f"^error: .*{message}") as stopped:
        main([str(tmp_path)])
    assert len(str(stopped.value)) < 500


def test_a_dump_reads_as_it_was_written(tmp_path):
    dump = Dump.of(NotFinite("search", 3, "the loss", None), 1, 2, None, 4)
    dump.write(tmp_path)
    assert Dump.read(dump.folder(tmp_path)) == dump


def test_the_gradient_norm_is_that_of_the_whole_batch(tiny_config, make_run):
    """Cut or not: what is reported is the norm before the cut."""
    norms = []
    for flags in ((), ("--teacher_training.clip_norm=1e-3",)):
        session = make_run(tiny_config(*flags), f"run{len(norms)}").session
        batch = next(iter(session.training_loader))
        norms.append(session.learners.teacher.step(batch)["gradient_norm"])
    assert norms[0] > 0
    torch.testing.assert_close(norms[0], norms[1], atol=0, rtol=1e-6)
