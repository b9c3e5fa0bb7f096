"""Each arm of the comparison, by what its student is shown, whom it learns from and what its policy learns."""

import json
import shlex
from collections import Counter

import pytest
import torch
from accelerate import Accelerator

from tst_fast.commands.arms import ARMS, DEFAULT
from tst_fast.commands.compare import main
from tst_fast.commands.comparison import Comparison
from tst_fast.config import reading
from tst_fast.config.checks import check
from tst_fast.models.evaluation import preparation

CHANNELS = {4: "student", 8: "teacher"}
SHORT = "--student_training.epochs=2", "--policy.search_epochs=1"  # of 4 steps each

# Images in a step of 100, whether the teacher is asked about the same images, the second half of a step, whether the
# policy learned, and its prior.
SEEN = {
    "student alone": (200, False, "another crop", False, "exact"),
    "KD, one crop": (100, True, "none", False, "exact"),
    "KD": (200, True, "another crop", False, "exact"),
    "KD, random policy": (200, True, "augmented", False, "exact"),
    "KD, untrained policy": (200, True, "augmented", False, "exact"),
    "TST": (200, True, "augmented", True, "exact"),
    "TST, neural prior": (200, True, "augmented", True, "encoder"),
    "TST, budget": (200, True, "augmented", True, "exact"),
}


@pytest.fixture
def forwards(monkeypatch):
    """Of every forward pass by the student in training mode, and by the teacher: images, and sums of 100 at a time."""
    seen = {"student": [], "teacher": []}

    def record(module, inputs):
        role = CHANNELS.get(module.classifier.in_features) if hasattr(module, "classifier") else None
        if role == "teacher" or (role == "student" and module.training):
            images = inputs[0].detach().double()
            seen[role].append((len(images), *(part.sum().item() for part in images.split(100))))

    handle = torch.nn.modules.module.register_module_forward_pre_hook(record)
    yield seen
    handle.remove()


@pytest.fixture(scope="module")
def plain_halves():
    """What the plain half of each step was, by arm, seed and step."""
    return {}


@pytest.mark.parametrize("arm", SEEN)
def test_what_the_student_of_an_arm_is_shown(arm, whole_run, tiny_config, forwards, plain_halves, tmp_path, capsys):
    teacher = f"--teacher.checkpoint={whole_run.folder / 'teacher.safetensors'}"
    config = tiny_config(teacher, *SHORT, "--policy.encoder_steps=2")
    content = Comparison(config, {arm: ARMS[arm]}, 2, 1, tmp_path, Accelerator(cpu=True)).run()
    assert "Differences" not in capsys.readouterr().out  # there are none of one arm
    folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    configs = [reading.load(folder / "config.yaml") for folder in folders]
    assert [each.seed for each in configs] == [0, 1]
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    assert content["arms"][arm]["last"]["runs"] == [result["student"]["accuracy"] for result in results]
    assert content["arms"][arm]["best"]["runs"] == [result["student_best"]["accuracy"] for result in results]

    images, taught, half, learned, prior = SEEN[arm]
    assert content["plan"]["arms"][arm]["images"] == images // 100
    assert Counter(size for size, *_ in forwards["student"]) == {images: 2 * 8}  # two seeds, 2 epochs of 4 steps
    assert (set(forwards["student"]) <= set(forwards["teacher"])) == taught
    assert len(set(forwards["student"])) == 2 * 8  # each step has images of its own order or making
    # Whatever else an arm does, its plain images are the same, step by step: augmented ones come before them, second
    # crops behind.
    plain = [sums[-1] if half == "augmented" else sums[0] for _, *sums in forwards["student"]]
    assert plain == plain_halves.setdefault("of all arms", plain)
    if half == "another crop":
        assert all(first != second for _, first, second in forwards["student"])
    policies = [json.loads((folder / "policy.json").read_text())["operations"] for folder in folders]
    moved = [any(abs(row["probability"] - 0.5) > 1e-5 for row in rows) for rows in policies]
    assert moved == [learned or arm == "KD, random policy"] * 2
    assert {each.policy.prior for each in configs} == {prior}


def test_an_image_has_the_same_draws_in_each_augmented_arm(whole_run, tiny_config, forwards, tmp_path):
    """Until the policies differ: the first epoch, before the search."""
    config = tiny_config(f"--teacher.checkpoint={whole_run.folder / 'teacher.safetensors'}", *SHORT)
    arms = {name: ARMS[name] for name in ("KD, untrained policy", "TST")}
    Comparison(config, arms, 1, 1, tmp_path, Accelerator(cpu=True)).run()
    untrained, tst = forwards["student"][:8], forwards["student"][8:]
    assert untrained[:4] == tst[:4]
    assert untrained[4:] != tst[4:]


def test_the_arms_are_these(capsys):
    assert list(ARMS) == list(SEEN)
    assert set(DEFAULT) < set(ARMS)
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert shlex.join(ARMS) in said and f"(default: {shlex.join(DEFAULT)})" in said


@pytest.mark.parametrize("preset", reading.presets())
def test_each_run_of_a_comparison_can_go_on_and_has_the_same_test_images(preset, tmp_path):
    config = reading.from_flags(["--config", preset, "--data.root=anywhere", "--teacher.checkpoint=null"])
    comparison = Comparison(config, ARMS, 1, 1, tmp_path, Accelerator(cpu=True))
    teachers, students = comparison.teachers_planned(), comparison.students_planned()
    assert len(students) == len(ARMS) and len(teachers) == (not config.teacher.trained)
    for run in (*teachers, *students):
        check(run.config)  # as it is when the run goes on
        assert preparation(run.config) == preparation(config), run.title


def test_a_comparison_of_ones_own_networks_goes_on(whole_run, tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_compared.py").write_text("from tst_fast.models.cifar.convnet import ConvNet as Net\n")
    teacher = f"--teacher.checkpoint={whole_run.folder / 'teacher.safetensors'}"
    short = "--student_training.epochs=1", "--policy.search=none"
    config = tiny_config(teacher, "--student.name=my_compared:Net", *short)
    contents = [
        Comparison(config, {"KD": ARMS["KD"]}, 1, 1, tmp_path / "compared", Accelerator(cpu=True)).run()
        for _ in range(2)
    ]
    assert contents[0] == contents[1]


def test_the_question_is_written_before_anything_is_run(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr("tst_fast.commands.comparison.result_of", lambda *arguments: pytest.fail("it runs"))
    arms = {name: ARMS[name] for name in DEFAULT}
    with pytest.raises(pytest.fail.Exception):
        Comparison(tiny_config("--data.fraction=0.5"), arms, 3, 2, tmp_path, Accelerator(cpu=True)).run()
    content = json.loads((tmp_path / "compare.json").read_text())
    assert content["plan"]["hypothesis"] == "TST is above KD, untrained policy"
    assert content["plan"]["explored"][0] == ["TST", "KD"]
    assert (content["plan"]["seeds"], content["plan"]["fraction_seeds"]) == ([0, 1, 2], [0, 1])
    assert list(content["plan"]["arms"]) == DEFAULT
    assert not any(content["runs"].values())


def test_runs_that_are_found_are_no_part_of_the_time_left(tiny_config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tst_fast.commands.comparison.result_of", lambda *arguments: {"wall_seconds": 10})
    for name in ("teacher", "kd-seed0", "tst-seed1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").touch()
    arms = {name: ARMS[name] for name in ("KD", "TST")}
    comparison = Comparison(tiny_config(), arms, 2, 1, tmp_path, Accelerator(cpu=True))
    for runs in (comparison.teachers_planned(), comparison.students_planned()):
        assert len(list(comparison._results(runs))) == len(runs)
    expected = [
        "run 4 of 5: TST, seed 0, about 0:00:20 left",
        "run 5 of 5: KD, seed 1, about 0:00:10 left",
    ]
    assert capsys.readouterr().out.splitlines() == expected


@pytest.mark.parametrize("flag", ["--folder", "--output"])
def test_a_folder_that_cannot_be_written_is_refused_at_once(flag, tiny_flags, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=f"^error: {flag} .*file cannot be written to: not a directory$"):
        main([*tiny_flags, flag, str(tmp_path / "file")])


def test_each_choice_of_images_has_a_teacher_of_its_own(tiny_config, tmp_path):
    config = tiny_config("--data.fraction=0.5", "--student_training.epochs=1", "--policy.search_at=[]")
    content = Comparison(config, {"KD": ARMS["KD"]}, 1, 2, tmp_path, Accelerator(cpu=True)).run()
    assert sorted(content["teachers"]) == [0, 1]
    assert [run["fraction_seed"] for run in content["runs"]["KD"]] == [0, 1]
    configs = [reading.load(tmp_path / f"kd-seed0-images{seed}" / "config.yaml") for seed in (0, 1)]
    assert [each.teacher.checkpoint.parent.name for each in configs] == ["teacher-images0", "teacher-images1"]
