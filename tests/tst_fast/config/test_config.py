"""What a user writes in flags and files: accepted as meant, or refused with the nearest right name."""

import re
from pathlib import Path

import pytest

from tst_fast.config import reading
from tst_fast.config.operations import PAPER_OPERATIONS
from tst_fast.config.ranges import range_of, settings_with_kinds
from tst_fast.config.schema import Config, FeatureConfig, replace
from tst_fast.errors import UserError
from tst_kernels import OPERATIONS


def _parse(*flags):
    return reading.from_flags(flags)


@pytest.mark.parametrize("preset", reading.presets())
def test_presets_are_valid(preset):
    config = _parse("--config", preset, "--data.root", "somewhere")
    assert config.name == preset.partition("/")[2]


def test_flags_override_files_which_override_defaults(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("seed: 3\ndata: {name: digits, batch_size: 32}\npolicy: {search_at: [1]}\n")
    config = _parse("--config", str(file), "--data.batch_size=16")
    assert (config.seed, config.data.batch_size, config.policy.search_at) == (3, 16, [1])
    assert config.loss.tau == 4.0


def test_a_saved_configuration_loads_to_the_same(tmp_path):
    config = _parse("--config=digits", "--student.arguments={channels: [5]}", "--policy.init=some.json")
    reading.save(config, tmp_path / "config.yaml")
    assert reading.load(tmp_path / "config.yaml") == config


def test_replace_changes_only_what_it_names():
    config = _parse("--config=digits")
    changed = replace(config, policy__search_at=[2], seed=9)
    assert (changed.policy.search_at, changed.seed) == ([2], 9)
    assert replace(changed, policy__search_at=config.policy.search_at, seed=config.seed) == config


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config=digit"], "no preset of this name; did you mean 'digits'"),
        (["--config=nopreset"], "no preset of this name. `tst-fast"),
        (["--config=digits", "digits"], "^digits belongs to no flag: .* a preset as --config PRESET$"),
        (
            ["--config=digits", "--polcy.learning_rate=1"],
            "unknown setting 'polcy.learning_rate'; did you mean 'policy.",
        ),
        (
            ["--config=digits", "--data.batch_size=many"],
            "--data.batch_size is 'many': it must be a whole number from 1 to 1,000,000$",
        ),
        (
            ["--config=digits", "--policy.objective=confidance"],
            "objective is .*one of 'confidence', 'cross_entropy'",
        ),
        (["--config=digits", "--policy.operations=[Rotat]"], "unknown operation 'Rotat'; did you mean 'Rotate'"),
        (["--config=digits", "--policy.operations=[Rotate, Rotate]"], "names an operation twice"),
        (["--config=digits", "--policy.operations_per_image=15"], "operations_per_image is 15: .* 1 to the 14"),
        (["--config=digits", "--policy.search_at=[40]"], r"search_at has \[40\], but the student's epochs are 0 to 39"),
        (
            ["--config=digits", "--data.batch_size=0"],
            "--data.batch_size is 0: it must be a whole number from 1 to 1,000,000$",
        ),
        (["--config=digits", "--data.flip=2"], "--data.flip is 2.0: it must be a number from 0 to 1$"),
        (
            ["--config=digits", "--data.std=[1, 0, 1]"],
            "--data.std is .*: it must be a list of 3 numbers above 0 and at most 1,000$",
        ),
        (["--config=digits", "--data.name=folder"], "--data.root is missing"),
        (["--config=digits", "--data.name=webdataset"], "--data.root is missing"),
        (["--config=digits", "--data.exclude=bad.txt"], "--data.exclude: digits has no files to leave out"),
        (["--config=folder", "--data.root=x", "--data.train=a.txt"], "--data.train is for --data.name list or webdat"),
        (["--config=digits", "--data.name=list", "--data.root=x"], "--data.train is missing: name the text file"),
        (
            ["--config=digits", "--data.hw_decoder_load=65"],
            "--data.hw_decoder_load is 65.0: it must be a number from 0 to 1$",
        ),
        (
            ["--config=digits", "--data.preallocate_width_hint=-1"],
            "--data.preallocate_width_hint is -1: it must be a whole number from 0 to 65,536$",
        ),
        (["--config=digits", "--teacher_training.epochs=0"], "there is no --teacher.checkpoint"),
        (["--config=digits", "--teacher.fine_tune=true"], "fine_tune is given without weights to begin with"),
        (["--config=digits", "--student.fine_tune=true"], "the student is trained in any case"),
        (["--config=digits", "--loss.tau=0"], "--loss.tau is 0.0"),
        (["--config=digits", "--loss.name=dk"], "--loss.name is 'dk'; did you mean '.*'\? Losses are kd, dkd, dist"),
        (["--config=digits", "--loss.name=zzz"], r"--loss.name is 'zzz'\. Losses are kd, dkd, dist"),
        (["--config=digits", "--teacher.sha256=00"], "--teacher.sha256 is given without --teacher.checkpoint"),
        (["--config=digits", "--student.checkpoint=a", "--student.pretrained=true"], "both give weights"),
        (["--config=digits", "--data.fraction=0"], "--data.fraction is 0.0: it must be a number above 0 and at most 1"),
        (["--config=digits", "--policy.search_fraction=1.5"], "--policy.search_fraction is 1.5"),
        (["--config=digits", "--policy.search_steps=21"], "search_steps is 21, but there are only 20 batches"),
        (
            ["--config=digits", "--policy.search=interleave"],
            "search is .*one of 'listed', 'interleaved', 'none'",
        ),
        (["--config=digits", "--policy.clip_norm=0"], "--policy.clip_norm is 0.0"),
        (
            ["--config=digits", "--student_training.accumulate=0"],
            "--student_training.accumulate is 0: it must be a whole number from 1 to 1,000,000,000$",
        ),
        (["--config=digits", "--student_training.ema_decay=1"], "--student_training.ema_decay is 1.0"),
        (["--config=digits", "--teacher_training.label_smoothing=1"], "label_smoothing is 1.0"),
        (["--config=digits", "--teacher_training.mixup=-1"], "--teacher_training.mixup is -1.0"),
        (
            ["--config=digits", "--student_training.epochs=0"],
            "search_at has .*, but .*epochs is 0: leave them out",
        ),
        (["--config=digits", "--policy.operations=[]"], "--policy.operations is empty: name one or more"),
        (["--config=digits", "--student.arguments={width:8}"], "arguments: a space is missing after .* of width:8"),
        (["--config=digits", "--student.arguments={channels:[8]}"], "a space is missing after the colon of channels"),
        (["--config=digits", "--data.ids={7:0}"], "--data.ids: a space is missing after the colon of 7:0"),
        (["--config=digits", "--loss.features=[{student:a, teacher: b}]"], "is missing after the colon of student:a"),
        (["--config=digits", "--student_training.optimizer.warmup_epochs=2"], "0 for one_cycle, which has its own"),
        (["--config=digits", "--evaluate_every=0"], "--evaluate_every is 0"),
        (["--config=segmentation/scenes", "--data.name=pairs", "--data.root=x"], "--data.class_names has 0 names"),
        (["--config=segmentation/scenes", "--data.name=pairs"], "--data.root is missing"),
        (["--config=segmentation/scenes", "--data.ids={7: 0}"], "--data.ids is for --data.name pairs"),
        (["--config=segmentation/scenes", "--data.scale=[2, 1]"], r"--data.scale is \[2.0, 1.0\]: it must be least"),
        (["--config=segmentation/scenes", "--data.window_step=[8, 8]"], "is given without --data.window"),
        (
            ["--config=segmentation/scenes", "--data.window=[8, 8]", "--data.window_step=[8, 16]"],
            r"--data.window_step is \[8, 16\], more than the window \[8, 8\]",
        ),
        (["--config=segmentation/scenes", "--data.exclude=bad.txt"], "--data.exclude: scenes has no files to leave"),
        (["--config=detection/scenes", "--data.name=coco"], "--data.root is missing"),
        (
            ["--config=detection/scenes", "--data.train_labels=a.json"],
            "is for --data.name pairs or coco",
        ),
        (["--config=detection/scenes", "--data.class_names=[a]"], "--data.class_names is for --data.name pairs"),
        (
            ["--config=detection/scenes", "--policy.visible=2"],
            "--policy.visible is 2.0: it must be a number from 0 to 1$",
        ),
        (
            ["--config=detection/scenes", "--policy.quality_weight=-1"],
            "--policy.quality_weight is -1.0: it must be a number from 0 to 1$",
        ),
        (
            ["--config=detection/scenes", "--loss.box_weight=-1"],
            "--loss.box_weight is -1.0: it must be a number from 0 to 1e.30$",
        ),
        (["--config=digits", "--seed=null"], "--seed is 'None': it must be a whole number"),
        (
            ["--config=digits", "--data.window=[1]"],
            r"window is '\[1\]': it must be a list of 2 whole numbers from 1 to 65,536, or null",
        ),
        (["--config=digits", "--loss.tau=.nan"], "--loss.tau is nan: it must be finite"),
        (["--config=digits", "--loss.tau=.inf"], "--loss.tau is inf: it must be finite"),
        (
            ["--config=digits", "--student_training.epochs=1" + 30 * "0"],
            "epochs is 1000.*: it must be a whole number from 0 to 1,000,000$",
        ),
        (["--config=digits", "--student.arguments={a: 1, a: 2}"], "--student.arguments: a is given twice"),
        (["--config=digits", "--student.arguments=[&a [1], *a]"], "--student.arguments: aliases are not taken"),
        (["--config=digits", "--student.arguments=" + 5000 * "["], "--student.arguments: it is nested too deeply"),
        (
            ["--config=segmentation/scenes", "--loss.cwd_weight=-1"],
            "--loss.cwd_weight is -1.0: it must be a number from 0 to 1e.30$",
        ),
    ],
)
def test_refuses(flags, message):
    with pytest.raises(UserError, match=message):
        _parse(*flags)


@pytest.mark.parametrize(
    ("guess", "meant"),
    [
        ("--epochs=3", ["student_training.epochs", "teacher_training.epochs"]),
        (
            "--lr=1",
            [
                "student_training.optimizer.learning_rate",
                "policy.learning_rate",
                "teacher_training.optimizer.learning_rate",
            ],
        ),
        ("--batch-size=3", ["data.batch_size"]),
        ("--bs=3", ["data.batch_size"]),
        ("--optimizer.name=sgd", ["student_training.optimizer.name", "teacher_training.optimizer.name"]),
        ("--teacher.lr=1", ["teacher_training.optimizer.learning_rate"]),
        ("--model=resnet18", ["student.name"]),
        ("--num-workers=3", ["data.threads"]),
        ("--data.batch_siz=3", ["data.batch_size"]),  # no abbreviation of it
        ("--zzz=1", []),
    ],
)
def test_a_guess_is_helped(guess, meant):
    with pytest.raises(UserError) as refused:
        _parse("--config=digits", guess)
    name = guess[2:].partition("=")[0]
    *others, last = [repr(setting) for setting in meant] or [""]
    suggestion = f"; did you mean {' or '.join(filter(None, [', '.join(others), last]))}?" if last else "."
    assert (
        str(refused.value)
        == f"unknown setting {name!r}{suggestion} `--help SECTION` lists them, such as `--help data`."
    )


def test_the_operations_of_the_paper_are_all_but_one():
    assert list(PAPER_OPERATIONS) == [name for name in OPERATIONS if name != "AutoContrast"]
    assert Config().policy.operations == list(PAPER_OPERATIONS)


def test_without_a_configuration_it_is_the_digits_and_says_so(capsys, monkeypatch):
    assert _parse("--seed=3") == replace(_parse("--config=digits"), seed=3)
    assert capsys.readouterr().out == "no --config is given: digits, scikit-learn's handwritten digits\n"
    monkeypatch.setenv("RANK", "1")
    _parse()
    assert capsys.readouterr().out == ""


def test_without_a_configuration_flags_of_the_data_need_its_name(capsys):
    for flags, named in ((["--data.root=images"], "root"), (["--seed=3", "--data.batch_size", "4"], "batch_size")):
        with pytest.raises(UserError, match=f"--data.{named} is given, but nothing says which .* add --config"):
            _parse(*flags)
    config = _parse("--data.name=cifar10", "--data.root=images")
    assert config == replace(Config(), data__name="cifar10", data__root=Path("images"))
    assert capsys.readouterr().out == ""


def test_a_folder_of_a_run_is_no_configuration_but_holds_one(tmp_path):
    (tmp_path / "config.yaml").touch()
    with pytest.raises(UserError, match=f"no preset of this name; did you mean '{tmp_path}/config.yaml'"):
        _parse("--config", str(tmp_path))


def test_refuses_an_unknown_key_in_a_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("data: {name: digits, batchsize: 32}\n")
    with pytest.raises(UserError, match=r"unknown setting 'data.batchsize'; did you mean 'data.batch_size'"):
        _parse("--config", str(file))


FILES = {
    "a key twice": ("seed: 1\nseed: 2\n", "line 2: seed is given twice"),
    "a key twice, inside": ("data:\n  flip: 0\n  flip: 1\n", "line 3: flip is given twice"),
    "no space after a colon": ("data: {name:digits}\n", "line 1: a space is missing after the colon of name:digits"),
    "none on a line": ("seed:3\nname: a\n", "line 2: mapping values .*: a space may be missing after a colon"),
    "none on the only line": (
        "data:\n  name:digits\n",
        "data is 'name:digits', but it is a section",
    ),
    "an alias bomb": ("a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]\n", "line 2: aliases are not taken"),
    "a number alone": ("5\n", "must hold keys and values"),
    "nothing": ("", "must hold keys and values"),
    "half a line": ("data: {name: dig", "line 1: "),
    "a tag": ("seed: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
    "deep": ("seed: " + 5000 * "[" + "\n", "is no YAML"),
    "bytes": ("seed: \0", "is no YAML"),
    "null": ("policy: {search: }\n", "--policy.search is .*(null|None).*"),
    "a null group": ("policy:\n", "policy"),
    "large": ("seed: 1 #" + 1_000_000 * "x", "more than 1,000,000 bytes"),
}


@pytest.mark.parametrize("content", FILES)
def test_refuses_a_file(tmp_path, content):
    text, message = FILES[content]
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as refused:
        _parse("--config", str(tmp_path / "mine.yaml"), "--data.name=digits")
    assert len(str(refused.value).splitlines()) <= 5


def test_every_number_has_a_range():
    """A new setting must say what it may be; what is no number needs none."""
    kinds = {
        name: kind for name, _, kind in settings_with_kinds(replace(Config(), loss__features=[FeatureConfig("", "")]))
    }
    numbers = {name for name, kind in kinds.items() if {"int", "float"} & set(re.findall(r"\w+", str(kind)))}
    assert "loss.features.weight" in numbers
    assert [name for name in numbers if range_of(kinds[name]) is None] == []
