"""Whole runs on boxes: what is left of them, resuming, and two processes."""

import json
from contextlib import closing

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.tst_fast.boxes import CLASSES, coco_flags, write_coco
from tests.tst_fast.processes import only, output_of_ranks
from tests.tst_fast.run.test_two_processes import PROGRAM
from tests.tst_fast.same_run import assert_same_run
from tst_fast.commands.doctor import main as doctor
from tst_fast.config import reading
from tst_fast.models.detection import build_detector
from tst_fast.policy.file import PolicyFile
from tst_fast.run.evaluate import evaluate_checkpoints
from tst_fast.run.start import open_run
from tst_fast.train import main

TINY = (
    "--config=detection/scenes",
    "--data.crop_size=[64, 96]",
    "--data.batch_size=4",
    "--teacher.arguments={channels: [4, 8, 8, 8], depth: 1, width: 32, convs: 1}",
    "--student.arguments={channels: [4, 4, 8, 8], depth: 1, width: 32, convs: 1}",
    "--teacher_training.epochs=2",
    "--teacher_training.optimizer.warmup_epochs=1",
    "--student_training.epochs=2",
    "--student_training.optimizer.warmup_epochs=0",
    "--policy.search_at=[1]",
    "--policy.search_epochs=1",
    "--log_every=1",
    "--checkpoint_every=1",
)
TWO_STAGES = (
    "--teacher.name=faster_rcnn",
    "--student.name=faster_rcnn",
    "--teacher.arguments={channels: [4, 8, 8, 8], depth: 1, width: 16, hidden: 16}",
    "--student.arguments={channels: [4, 4, 8, 8], depth: 1, width: 16, hidden: 16}",
)


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    return [*TINY, *coco_flags(write_coco(tmp_path_factory.mktemp("coco")))]


@pytest.fixture(scope="module", params=["dense", "two stages"])
def whole_run(flags, request, tmp_path_factory):
    """A run that nothing stops, and its result."""
    folder = tmp_path_factory.mktemp("whole")
    more = TWO_STAGES if request.param == "two stages" else ()
    with closing(open_run(reading.from_flags([*flags, *more]), folder, Accelerator(cpu=True), quiet=True)) as run:
        return run, run.run()


@pytest.mark.parametrize("updates", [3, 7, 9])
def test_a_stopped_run_resumes_to_the_same_bits(whole_run, make_run, stop_run, updates):
    """In the teacher's training, the search and the student's: four updates, two of the student, two, and two more."""
    whole, result = whole_run
    stop_run(whole.config, updates)
    resumed = make_run(whole.config)
    resumed.resume()
    assert_same_run(resumed.folder, resumed.run(), whole.folder, result)


def test_what_is_left_of_a_run(whole_run, flags, capsys):
    """The student's file is the detector alone, connectors left out, and evaluates to what the run found."""
    run, result = whole_run
    assert (result["metric"], result["test_images"]) == ("box_ap", 4)
    assert {"box_ap50", "box_ar100"} <= set(result["student"])
    assert set(result["held_out_gaps"][0]["trained"]) == {"teacher", "student", "gap"}
    assert PolicyFile.read(run.folder / "policy.json").composes_warps
    with Image.open(run.folder / "answers.png") as table:
        assert table.width > 1000
    student = run.config.student
    bare = build_detector(student.name, CLASSES, student.arguments)
    bare.load_state_dict(load_file(run.folder / "student.safetensors"))
    more = TWO_STAGES if student.name == "faster_rcnn" else ()
    main([*flags, *more, f"--student.checkpoint={run.folder / 'student.safetensors'}", "--evaluate_only"])
    assert f"student box AP on 4 test images: {100 * result['student']['box_ap']:.2f} %" in capsys.readouterr().out


def test_a_run_on_scenes(tmp_path):
    """The embedded data set: a few of its scenes, once, and all of the test's."""
    short = "--teacher_training.epochs=1", "--teacher_training.optimizer.warmup_epochs=0", "--student_training.epochs=1"
    few = "--data.fraction=0.02", "--data.test_batch_size=100"
    main([*TINY, *short, "--policy.search_at=[0]", *few, f"--output={tmp_path}"])
    result = json.loads((only(tmp_path) / "result.json").read_text())
    assert result["test_images"] == 300
    assert 0 <= result["student"]["box_ap"] < 0.5


def test_two_processes_agree(flags, tmp_path):
    """Each ends with the same student and policy; every test image is counted once."""
    output_of_ranks([PROGRAM, *flags, f"--output={tmp_path / 'runs'}"])
    folder = only(tmp_path / "runs")
    assert json.loads((folder / "result.json").read_text())["processes"] == 2
    whole = reading.from_flags([*flags, f"--student.checkpoint={folder / 'student.safetensors'}"])
    alone = evaluate_checkpoints(whole, Accelerator(cpu=True))["student"]
    assert alone == json.loads((folder / "result.json").read_text())["student"]


def test_averages_parts_and_clipping(flags, make_run):
    """As for the other tasks: they change the result, and the run goes through."""
    more = "--student_training.ema_decay=0.9", "--student_training.accumulate=2", "--policy.accumulate=2"
    result = make_run(reading.from_flags([*flags, *more])).run()
    assert result["student"]["box_ap"] >= 0


def test_a_second_crop_beside_the_first(flags, make_run):
    """Batches of unequal numbers of objects are put together."""
    more = "--distillation.augment=false", "--distillation.second_crop=true", "--policy.search=none"
    assert make_run(reading.from_flags([*flags, *more])).run()["student"]["box_ap"] >= 0


def test_bf16(flags, tmp_path):
    """Anchors and boxes stay in float32."""
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        for number, more in enumerate(((), TWO_STAGES)):
            config = reading.from_flags([*flags, *more, "--policy.search_at=[0]", "--student_training.epochs=1"])
            with closing(open_run(config, tmp_path / str(number), accelerator, quiet=True)) as run:
                kinds = set()
                run.session.student.register_forward_hook(lambda *args, kinds=kinds: kinds.add(args[2].anchors.dtype))
                assert run.run()["student"]["box_ap"] >= 0
                assert kinds == {torch.float32}
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def objects_late(tmp_path):
    """Flags of test images of which only the seventh of eight has an object."""
    flags = [*TINY, *coco_flags(write_coco(tmp_path, test=8)), "--data.batch_size=2"]
    file = tmp_path / "test.json"
    content = json.loads(file.read_text())
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] == 16]
    file.write_text(json.dumps(content))
    return flags


def test_the_first_test_images_need_no_object(objects_late, tmp_path, capsys, monkeypatch):
    main([*objects_late, "--dry_run"])
    assert "two steps of everything went well" in capsys.readouterr().out
    teacher = reading.from_flags(objects_late).teacher
    weights = build_detector(teacher.name, CLASSES, teacher.arguments).state_dict()
    save_file(weights, tmp_path / "teacher.safetensors")
    monkeypatch.setenv("COLUMNS", "200")
    doctor([*objects_late, f"--teacher.checkpoint={tmp_path / 'teacher.safetensors'}", "--images=2"])
    assert "none of the 2 test images has a label: there is nothing to evaluate on" in capsys.readouterr().out


def test_of_one_class_there_is_something_to_learn(tmp_path, capsys):
    root = write_coco(tmp_path)
    for split in ("train", "test"):
        file = root / f"{split}.json"
        content = json.loads(file.read_text())
        content["categories"] = content["categories"][:1]
        content["annotations"] = [one for one in content["annotations"] if one["category_id"] == 3]
        file.write_text(json.dumps(content))
    main([*TINY, *coco_flags(root), "--dry_run"])
    said = capsys.readouterr()
    assert "two steps of everything went well" in said.out and "one class" not in said.out + said.err
