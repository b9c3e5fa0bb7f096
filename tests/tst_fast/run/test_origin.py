"""A run goes on as it was made, or as the user says that it has changed."""

import json
import os

import pytest
import torch
from PIL import Image

from tst_fast.errors import UserError
from tst_fast.run import origin
from tst_fast.train import main, parse


@pytest.fixture
def stopped(tiny_config, stop_run):
    """The folder of a run of the digits that has checkpoints."""
    return stop_run(tiny_config(), 5)


def _resume(folder, make_run, *overrides):
    """As the program does it, up to the first step."""
    words = [word for override in overrides for word in ("--override", override)]
    config, options = parse(["--resume", str(folder), *words])
    run = make_run(config, folder.name)
    try:
        run.resume(options.elastic, options.override)
    except UserError:
        run.close()
        raise
    return run


def _edit(folder, old, new):
    file = folder / "config.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


ALTERED = {
    "teacher_training.optimizer.learning_rate": ("learning_rate: 0.1", "learning_rate: 0.3"),
    "loss.tau": ("tau: 4.0", "tau: 3.0"),
    "seed": ("seed: 0", "seed: 1"),
    "data.flip": ("flip: 0.0", "flip: 0.5"),
    "policy.operations_per_image": ("operations_per_image: 4", "operations_per_image: 3"),
    "checkpoint_every": ("checkpoint_every: 2", "checkpoint_every: 3"),
}


@pytest.mark.parametrize("key", ALTERED)
def test_an_altered_setting_is_named_and_refused(stopped, make_run, key):
    _edit(stopped, *ALTERED[key])
    old, new = (text.partition(": ")[2] for text in ALTERED[key])
    with pytest.raises(UserError, match=f"{key} was {old}, now {new}\n.*--override {key}={new}$"):
        _resume(stopped, make_run)


def test_what_is_stated_is_done_and_written_down(stopped, make_run):
    key = "teacher_training.optimizer.weight_decay"
    run = _resume(stopped, make_run, f"{key}=0.01")
    groups = run.learners.teacher.optimizer.param_groups
    assert {group["weight_decay"] for group in groups if group["weight_decay"]} == {0.01}
    (line,) = map(json.loads, (stopped / origin.RECORD).read_text().splitlines())
    assert (line["key"], line["was"], line["now"], line["step"]) == (key, 5e-4, 0.01, 4)
    assert "weight_decay: 0.01" in (stopped / "config.yaml").read_text()
    run.close()
    again = _resume(stopped, make_run)  # from the same checkpoint: it was stated
    assert len((stopped / origin.RECORD).read_text().splitlines()) == 1
    again.close()
    _edit(stopped, "weight_decay: 0.01", "weight_decay: 0.02")
    with pytest.raises(UserError, match=f"{key} was 0.0005, now 0.02"):
        _resume(stopped, make_run)


def test_a_budget_and_moving_averages_may_begin_when_a_run_goes_on(stopped, make_run):
    added = "policy.budget=1.0", "teacher_training.ema_decay=0.9", "student_training.ema_decay=0.9"
    run = _resume(stopped, make_run, *added)
    teacher = run.learners.teacher
    torch.testing.assert_close(dict(teacher.evaluated.state_dict()), dict(teacher.kept.state_dict()), atol=0, rtol=0)
    assert "student" in run.run()


def test_a_rate_of_the_search_that_is_stated_is_taken(tiny_config, stop_run, make_run):
    folder = stop_run(tiny_config("--policy.search_at=[0]"), 12)  # in the search
    run = _resume(folder, make_run, "policy.learning_rate=0.04")
    assert run.learners.search.learning_rate == pytest.approx(0.04)


def test_a_configuration_that_was_cut_short_is_refused(stopped, make_run):
    """After every tenth byte: what is missing, unreadable, or another value."""
    file = stopped / "config.yaml"
    whole = file.read_bytes()
    accepted = []
    for length in range(0, len(whole) - 1, 10):
        file.write_bytes(whole[:length])
        try:
            parse(["--resume", str(stopped)])
            accepted.append(length)
        except UserError:
            pass
    assert accepted == []
    file.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])  # whole but for its last line
    with pytest.raises(UserError, match="lacks 1 setting"):
        _resume(stopped, make_run)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--override", "seed"], "--override seed: give KEY=VALUE"),
        (["--override", "sed=1"], "unknown setting 'sed'; did you mean 'seed'"),
        (["--override", "seed=many"], "--seed is 'many': it must be a whole number"),
        (["--seed=1"], "its folder, --elastic, --override KEY=VALUE and --import are all it takes"),
    ],
)
def test_bad_overrides(stopped, words, message):
    with pytest.raises(UserError, match=message):
        parse(["--resume", str(stopped), *words])


def test_a_new_run_takes_no_override():
    with pytest.raises(SystemExit, match="error: --override is for --resume FOLDER"):
        main(["--config=digits", "--override", "seed=1"])


@pytest.fixture
def own_images(tmp_path, tiny_config):
    """A configuration of a run on a folder of twelve images, with a teacher in a file."""
    root = tmp_path / "images"
    for split in ("train", "val"):
        for label, name in enumerate("ab"):
            (root / split / name).mkdir(parents=True)
            for i in range(6):
                Image.new("RGB", (32, 32), (i * 20, label * 90, 60)).save(root / split / name / f"{i}.png")
    sizes = "--data.image_size=32", "--data.batch_size=6", "--data.crop=pad", "--student.name=convnet"
    short = "--student_training.epochs=2", "--policy.search=none", "--teacher_training.epochs=1"
    names = "--config=folder", f"--data.root={root}", "--teacher.name=convnet", "--checkpoint_every=1"
    return root, (*names, *sizes, *short)


def _configuration(flags):
    return parse(flags)[0]


def test_replaced_images_are_noticed(own_images, stop_run, make_run):
    root, flags = own_images
    folder = stop_run(_configuration(flags), 3)
    victim = root / "train" / "a" / "3.png"
    before = victim.stat()
    Image.new("RGB", (32, 32), (255, 0, 0)).save(victim)
    os.utime(victim, (before.st_atime, before.st_mtime + 60))
    with pytest.raises(UserError, match=r"files\.data was [0-9a-f]{16}, now ([0-9a-f]{16})") as refused:
        _resume(folder, make_run)
    stated = str(refused.value).rpartition("--override ")[2]
    with pytest.raises(UserError, match=r"files\.data was"):
        _resume(folder, make_run, f"files.data={'0' * 16}")
    _resume(folder, make_run, stated)
    assert json.loads((folder / origin.RECORD).read_text())["key"] == "files.data"


def test_a_replaced_teacher_is_noticed(own_images, stop_run, make_run, tmp_path):
    _, flags = own_images
    first = make_run(_configuration(flags), "first")
    first.run()
    teacher = tmp_path / "teacher.safetensors"
    teacher.write_bytes((first.folder / "teacher.safetensors").read_bytes())
    folder = stop_run(_configuration([*flags, f"--teacher.checkpoint={teacher}"]), 2)
    content = bytearray(teacher.read_bytes())
    content[-1] ^= 1
    teacher.write_bytes(content)
    with pytest.raises(UserError, match=r"files\.teacher was [0-9a-f]{64}, now "):
        _resume(folder, make_run)


def test_a_network_of_another_shape_is_a_message(stopped, make_run):
    with pytest.raises(UserError, match="does not fit the networks as they are now"):
        _resume(stopped, make_run, "student.arguments={channels: [6]}")


def test_a_setting_that_there_was_not_yet_counts_as_its_default():
    now = {"seed": 0, "loss.tau": 5.0}
    assert origin.differences({"seed": 0}, now) == {"loss.tau": (4.0, 5.0)}
    assert origin.differences({"seed": 0}, {**now, "loss.tau": 4.0}) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", r"overrides.jsonl, line 1, cannot be read: Expecting value"),
        (
            '{"key": "seed", "was": 0, "now": 1, "step": 2, "time": "now"}\n[]',
            r"line 2, cannot be read: it must be an obj",
        ),
        (
            '{"key": 1, "was": 0, "now": 1, "step": 2, "time": "now"}',
            r"line 1, cannot be read: key is 1: it must be text",
        ),
        ('{"key": "seed", "was": 0, "step": 2, "time": "now"}', r"line 1, cannot be read: it lacks now"),
        ("[" * 100_000, r"line 1, cannot be read"),
        ("\udcff", r"cannot be read: 'utf-8' codec"),
    ],
    ids=range(6),
)
def test_a_record_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / origin.RECORD).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=message):
        origin.recorded(tmp_path)


def test_what_was_stated_is_kept_in_order(tmp_path):
    origin.record({"seed": (0, 1)}, 3, tmp_path)
    origin.record({"seed": (0, 1), "loss.tau": (4.0, 2.0)}, 5, tmp_path)  # the first was stated before
    assert [json.loads(line)["step"] for line in (tmp_path / origin.RECORD).read_text().splitlines()] == [3, 5]
    assert origin.recorded(tmp_path) == {"seed": 1, "loss.tau": 2.0}
