"""The program as its users start it: other processes, real signals, and one message for what goes wrong."""

import json
import os
import re
import shutil
import signal
import time

import pytest
from PIL import Image

from tests.kills import differing
from tests.tst_fast.processes import ROOT, only, output_of, start
from tst_fast.cli import main as commands
from tst_fast.config.ranges import settings_with_kinds
from tst_fast.config.schema import Config
from tst_fast.run.search import PolicySearch
from tst_fast.run.update import ModelUpdate
from tst_fast.train import main

TRAIN = ["-m", "accelerate.commands.launch", "--quiet", "--num_processes=1", str(ROOT / "tst_fast" / "train.py")]


def test_launch_then_kill_then_resume(whole_run, tmp_path, tiny_flags):
    process = start([*TRAIN, *tiny_flags, f"--output={tmp_path}"], start_new_session=True)
    deadline = time.monotonic() + 240
    while not process.stdout.readline().startswith("teacher epoch 1 of 2, step 1 of 8: "):  # while it runs
        assert process.poll() is None
    # After the teacher, in the search or the student's epochs; the time it takes varies, the result must not.
    while not list(tmp_path.glob("*/checkpoints/00000001[2-9].pt")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    begun, _ = process.communicate()
    assert "teacher epoch 1 of 2, step 1 of 8: " not in begun  # it is said once
    folder = only(tmp_path)
    assert not (folder / "result.json").exists()
    said = output_of([*TRAIN, "--resume", str(folder)])
    assert "search before student epoch 2 of 3, step 1 of 8: " in begun + said
    assert "student accuracy on 1,397 test images" in said and "Learned policy" in said
    assert differing(folder, whole_run.folder) == []


CTRL_C_WHERE_AN_EXCEPTION_IS_LOST = """
import os, signal, sys

class Sender:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

class Finder:
    def find_spec(self, name, *_):
        if name == "torch":
            Sender()

sys.meta_path.insert(0, Finder())
from tst_fast.cli import main
main()
"""


@pytest.mark.parametrize("command", ["train", "compare"])
def test_ctrl_c_while_torch_is_imported(command, tmp_path, tiny_flags):
    output = output_of(["-c", CTRL_C_WHERE_AN_EXCEPTION_IS_LOST, command, *tiny_flags, f"--output={tmp_path}"], 130)
    assert output.startswith("stopped") and output.count("\n") == 1


def test_compare_shows_the_arms_that_are_asked_for(whole_run, tmp_path, tiny_flags, capsys):
    short = f"--teacher.checkpoint={whole_run.folder / 'teacher.safetensors'}", "--student_training.epochs=2"
    arms = "--arms", "KD, untrained policy", "TST"
    commands(["compare", *tiny_flags, *short, *arms, "--seeds=2", f"--output={tmp_path}"])
    output = capsys.readouterr().out
    content = json.loads((only(tmp_path) / "compare.json").read_text())
    assert list(content["arms"]) == ["KD, untrained policy", "TST"]
    for values in content["arms"].values():
        runs = values["last"]["runs"]
        assert len(runs) == 2
        assert values["last"]["mean"] == pytest.approx(sum(runs) / 2)
    assert f"{100 * content['arms']['TST']['last']['mean']:.2f}" in output
    (difference,) = content["differences"]
    assert difference["arms"] == ["TST", "KD, untrained policy"]
    assert f"{100 * difference['mean']:+.2f}" in output


def _folder(tmp_path, classes=("cat", "dog"), images=6):
    for split in ("train", "val"):
        for label, name in enumerate(classes):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(images):
                Image.new("RGB", (40, 40), (i * 20, label * 100, 60)).save(tmp_path / split / name / f"{i}.jpg")
    return tmp_path


def _remove_folders(folder):
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)


def _truncate(file):
    file.write_bytes(file.read_bytes()[:-200])


FAULTS = {
    "no folder": (lambda root: None, ["--data.root=/nowhere/at/all"], "/nowhere/at/all: there is no such folder"),
    "empty class": (lambda root: (root / "train/eel").mkdir(), [], r"class folders without images: eel"),
    "other classes": (
        lambda root: (root / "val" / "dog").rename(root / "val" / "emu"),
        [],
        r"training split lacks: emu",
    ),
    "not an image": (
        lambda root: (root / "train" / "cat" / "0.jpg").write_text("text"),
        [],
        r"train/cat/0.jpg: not an",
    ),
    "truncated": (lambda root: _truncate(root / "train" / "dog" / "3.jpg"), [], r"train/dog/3.jpg: truncated"),
    "large batch": (lambda root: None, ["--data.batch_size=13"], "13 exceeds the 12 training images"),
    "small resize": (lambda root: None, ["--data.resize=10"], r"resize must be at least size, 32, got 10"),
    "typo": (lambda root: None, ["--data.bach_size=4"], "did you mean 'data.batch_size'"),
    "no model": (lambda root: None, ["--student.name=resnet19"], "no model 'resnet19'; did you mean 'resnet1"),
    "too small images": (
        lambda root: None,
        ["--student.name=timm/vit_tiny_patch16_224", "--student.arguments={depth: 1}"],
        r"--student.name timm/vit_tiny_patch16_224 does not take images of 32 px \(--data.image_size\): .*img_size: 32",
    ),
    "flat val": (
        lambda root: [(root / "val" / "cat" / "0.jpg").rename(root / "val" / "0.jpg"), _remove_folders(root / "val")],
        ["--data.name=imagenet"],
        "val has no class folders: sort its images .* or give --data.test FILE",
    ),
    "no list": (
        lambda root: None,
        ["--data.name=list", "--data.train=nothing.txt", "--data.test=nothing.txt"],
        "the list nothing.txt cannot be read: no such file",
    ),
    "no shards": (lambda root: None, ["--data.name=webdataset"], r"has no shards train/\*.tar"),
    "nan": (
        lambda root: None,
        ["--teacher_training.optimizer.learning_rate=1e30", "--teacher_training.epochs=9"],
        "not finite at step .* of teacher epoch .* Lower --teacher_training.optimizer.learning_rate",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_ends_with_one_message(tmp_path, fault, capfd, monkeypatch):
    spoil, flags, message = FAULTS[fault]
    root = _folder(tmp_path / "data")
    spoil(root)
    monkeypatch.chdir(tmp_path)
    networks = ["--teacher.name=convnet", "--student.name=convnet"]
    schedule = ["--teacher_training.epochs=1", "--student_training.epochs=1", "--policy.search_at=[]"]
    sizes = ["--data.image_size=32", "--data.batch_size=12", "--data.crop=pad"]
    with pytest.raises(SystemExit) as stopped:
        main(["--config=folder", f"--data.root={root}", *networks, *schedule, *sizes, *flags])
    assert re.search(message, str(stopped.value)), stopped.value
    assert str(stopped.value).startswith("error: ")
    assert "Traceback" not in capfd.readouterr().err
    early = fault not in ("not an image", "truncated", "nan")  # found before the run begins: it leaves no folder
    assert (tmp_path / "runs").exists() != early


def test_an_option_that_the_pipeline_names_is_shown_as_a_flag(tmp_path):
    with pytest.raises(SystemExit, match=r"error: no CIFAR-10 in .* have it downloaded \(--data.download true\)$"):
        main(["--config=digits", "--data.name=cifar10", f"--data.root={tmp_path}"])


def test_elastic_without_a_run_to_resume_is_refused():
    with pytest.raises(SystemExit, match="error: --elastic is for --resume FOLDER"):
        main(["--config=digits", "--elastic"])


def test_evaluate_only(whole_run, tiny_flags, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoints = [f"--{role}.checkpoint={whole_run.folder / role}.safetensors" for role in ("teacher", "student")]
    main([*tiny_flags, *checkpoints, "--evaluate_only"])
    lines = [
        f"{role} {title} on 1,397 test images: {100 * whole_run.result[role][name]:.2f} %"
        for role in ("teacher", "student")
        for name, title in (("accuracy", "accuracy"), ("top5_accuracy", "top-5 accuracy"))
    ]
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if "batches of" not in line] == lines  # how far it is, aside
    assert not list(tmp_path.iterdir())
    with pytest.raises(SystemExit, match=r"--evaluate_only needs --teacher.checkpoint"):
        main([*tiny_flags, "--evaluate_only"])


@pytest.mark.parametrize("flags", [(), ("--policy.search=interleaved",)])
def test_dry_run_takes_two_steps_of_everything(flags, steps, tiny_flags, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main([*tiny_flags, *flags, "--dry_run"])
    assert steps == {ModelUpdate: 4, PolicySearch: 1 if flags else 2}
    assert "two steps of everything went well; nothing is kept" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_help_fits_a_screen_and_the_rest_is_by_section(capsys):
    def said(*words):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code in (0, None), ended.value
        return capsys.readouterr().out

    overview = said("--help")
    assert len(overview.splitlines()) <= 35 and max(map(len, overview.splitlines())) <= 100
    assert re.search(r"  policy +the augmentation \(\d\d\)", overview) and "--evaluate_only" in overview
    sections = re.findall(r"^  (\w+) .*\((\d+)\)$", overview, re.MULTILINE)
    listed = {name: re.findall(r"^  --([\w.]+)", said("--help", name), re.MULTILINE) for name, _ in sections}
    assert {name: len(settings) for name, settings in listed.items()} == {n: int(count) for n, count in sections}
    every = [setting for settings in listed.values() for setting in settings]
    assert sorted(every) == sorted(name for name, *_ in settings_with_kinds(Config()) if "features." not in name)
    assert "learning rate of the policy's SGD at the start of each search" in " ".join(said("--help", "policy").split())
    tau = " ".join(said("--help=tau").split())
    assert tau == "--loss.tau temperature of the distillation term (a number above 0 and at most 1e+30; default: 4.0)"
    assert "classification/digits\n" in said("--help", "presets")
    rates = [name for name in every if name.endswith(".learning_rate")]
    assert re.findall(r"--([\w.]+)", said("--help", "lr")) == rates and len(rates) == 3
    assert re.findall(r"--(\w+)\.optimizer.power", said("--help", "optimizer.power")) == [
        "teacher_training",
        "student_training",
    ]
    with pytest.raises(SystemExit, match=r"--help optimiser: no such section or setting; did you mean 'optimizer'"):
        main(["--help", "optimiser"])


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["train", "--lr=1"], ["trian"]], ids=" ".join)
def test_help_and_a_typo_need_no_torch(words):
    program = (
        "import sys, resource\n"
        "from tst_fast.cli import main\n"
        "try:\n"
        f"    main({words})\n"
        "except SystemExit as stopped:\n"
        "    print(stopped.code)\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "assert used.ru_utime + used.ru_stime < 1, used\n"
        "assert not {'torch', 'torchvision', 'accelerate'} & set(sys.modules)\n"
    )
    output = output_of(["-c", program])
    assert "did you mean" in output or "settings" in output or "usage" in output


def test_what_the_locale_cannot_write_ends_nothing():
    program = (
        "import sys\n"
        "from tst_fast.errors import errors_as_messages\n"
        "sys.stdout.reconfigure(encoding='latin-1')\n"
        "with errors_as_messages():\n"
        "    print('0.50 \u2192 0.60')\n"
    )
    assert output_of(["-c", program]) == "0.50 ? 0.60\n"


def test_a_reader_that_has_seen_enough_is_no_error():
    program = (
        "import os\n"
        "from tst_fast.cli import main\n"
        "reading, writing = os.pipe()\n"
        "os.close(reading)\n"
        "os.dup2(writing, 1)\n"
        "main(['train', '--help', 'data'])\n"
    )
    assert output_of(["-c", program], status=1) == ""


def test_another_pipe_that_breaks_is_an_error():
    program = (
        "import os\n"
        "from tst_fast.errors import errors_as_messages\n"
        "reading, writing = os.pipe()\n"
        "os.close(reading)\n"
        "with errors_as_messages():\n"
        "    os.write(writing, b'a worker has gone')\n"
    )
    assert output_of(["-c", program], status=1).startswith("error: broken pipe; the traceback is in ")


def test_python_runs_the_package():
    assert output_of(["-m", "tst_fast", "--help"]).startswith("usage: tst-fast COMMAND")


def test_commands():
    program = "from tst_fast.cli import main; main()"
    assert "compare" in output_of(["-c", program, "--help"])
    assert "did you mean 'compare'" in output_of(["-c", program, "comparr"], status=1)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", output_of(["-c", program, "--version"]))
