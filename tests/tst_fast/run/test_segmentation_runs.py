"""Whole runs on label maps: what is left of them, resuming, and two processes."""

import json
from contextlib import closing

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file

from tests.tst_fast.events import events_of
from tests.tst_fast.label_maps import CLASSES, pairs_flags, write_pairs
from tests.tst_fast.processes import only, output_of_ranks
from tests.tst_fast.run.test_two_processes import PROGRAM
from tests.tst_fast.same_run import assert_same_run
from tst_fast.config import reading
from tst_fast.errors import UserError
from tst_fast.models.segmentation import build_segmenter
from tst_fast.policy.file import PolicyFile
from tst_fast.run.held_out_gap import held_out_gaps
from tst_fast.run.pictures import draw_answers, draw_search, fixed_images
from tst_fast.run.start import open_run
from tst_fast.train import main
from tst_pipelines import image_pairs

TINY = (
    "--config=segmentation/scenes",
    "--data.crop_size=[16, 24]",
    "--data.batch_size=4",
    "--teacher.arguments={channels: [4, 6, 6, 8]}",
    "--student.arguments={channels: [4, 4, 4, 6]}",
    "--teacher_training.epochs=2",
    "--student_training.epochs=2",
    "--student_training.optimizer.warmup_epochs=0",
    "--policy.search_at=[1]",
    "--policy.search_epochs=1",
    "--log_every=1",
    "--checkpoint_every=1",
)
WITH_HEADS = (
    "--teacher.name=pspnet/resnet18",
    "--teacher.arguments={encoder: {layers: [1, 1, 1, 1], channels: [8, 8, 8, 8], stem_width: 8}, width: 8}",
    "--student.name=pspnet/resnet18",
    "--student.arguments={encoder: {layers: [1, 1, 1, 1], channels: [4, 4, 4, 4], stem_width: 8}, width: 8}",
    "--loss.auxiliary_alpha=0.4",
    "--loss.cwd_weight=0.1",
)


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    return [*TINY, *pairs_flags(write_pairs(tmp_path_factory.mktemp("pairs")))]


@pytest.fixture(scope="module")
def whole_run(flags, tmp_path_factory):
    """A run that nothing stops, and its result."""
    folder = tmp_path_factory.mktemp("whole")
    with closing(open_run(reading.from_flags(flags), folder, Accelerator(cpu=True), quiet=True)) as run:
        return run, run.run()


@pytest.mark.parametrize("updates", [3, 7, 9])
def test_a_stopped_run_resumes_to_the_same_bits(whole_run, make_run, stop_run, updates):
    """In the teacher's training, the search and the student's: four updates, two of the student, two, and two more."""
    whole, result = whole_run
    stop_run(whole.config, updates)
    resumed = make_run(whole.config)
    resumed.resume()
    assert_same_run(resumed.folder, resumed.run(), whole.folder, result)


def test_a_run_on_scenes(tmp_path):
    """The embedded data set: a few of its scenes, once, and all of the test's."""
    short = "--teacher_training.epochs=1", "--teacher_training.optimizer.warmup_epochs=0", "--student_training.epochs=1"
    few = "--data.fraction=0.02", "--data.test_batch_size=100", "--data.crop_size=[32, 32]"
    main([*TINY, *short, "--policy.search_at=[0]", *few, f"--output={tmp_path}"])
    result = json.loads((only(tmp_path) / "result.json").read_text())
    assert (result["metric"], result["test_images"]) == ("mean_iou", 300)
    assert 0 < result["student"]["mean_iou"] < result["student"]["pixel_accuracy"] < 1
    assert set(result["held_out_gaps"][0]["trained"]) == {"teacher", "student", "gap"}
    assert PolicyFile.read(only(tmp_path) / "policy.json").composes_warps


def test_the_students_file_holds_no_auxiliary_head(flags, make_run, capsys):
    """It is the file of a network that never had one, and evaluates to what the run found."""
    run = make_run(reading.from_flags([*flags, *WITH_HEADS]))
    result = run.run()
    student, teacher = (load_file(run.folder / f"{role}.safetensors") for role in ("student", "teacher"))
    assert any(name.startswith("auxiliary") for name in teacher)
    with Image.open(run.folder / "answers.png") as table:
        assert table.width > 1000
    assert not any("auxiliary" in name for name in student)
    bare = build_segmenter("pspnet/resnet18", len(CLASSES), {**run.config.student.arguments, "auxiliary": False})
    bare.load_state_dict(student)
    main([*flags, *WITH_HEADS, f"--student.checkpoint={run.folder / 'student.safetensors'}", "--evaluate_only"])
    assert f"student mean IoU on 4 test images: {100 * result['student']['mean_iou']:.2f} %" in capsys.readouterr().out


def test_two_processes_agree(flags, tmp_path):
    """Each ends with the same student and policy; every test image is counted once."""
    output_of_ranks([PROGRAM, *flags, *WITH_HEADS, f"--output={tmp_path / 'runs'}"])
    folder = only(tmp_path / "runs")
    assert json.loads((folder / "result.json").read_text())["processes"] == 2
    (confusion,) = [e["confusion"] for e in events_of(folder) if e["event"] == "evaluation" and e["role"] == "teacher"]
    labelled = sum((map_ != 255).sum() for map_ in _test_labels(flags))
    assert np.sum(confusion) == labelled


def _test_labels(flags):
    root = reading.from_flags(flags).data.root / "test"
    pairs = image_pairs(root / "images", root / "labels", CLASSES)
    return [pairs.targets(np.array([i])).labels for i in range(len(pairs))]


def test_test_images_without_labels_are_refused_not_nan(flags, tmp_path):
    root = write_pairs(tmp_path)
    for file in (root / "test" / "labels").iterdir():
        Image.fromarray(np.full((32, 48), 255, np.uint8)).save(file)
    with pytest.raises(SystemExit, match=r"none of the 4 test images has a pixel with a label.*--data.ignored"):
        main([*flags, *pairs_flags(root), f"--output={tmp_path / 'runs'}"])


def test_windows_of_the_whole_image_change_nothing(flags, make_run):
    run = make_run(reading.from_flags([*flags, "--data.window=[32, 64]"]), "windows")
    task, network = run.session.task, run.session.student.eval()
    images = torch.randn(1, 3, 32, 64)
    with torch.no_grad():
        whole = network(images).label_map((32, 64))
        torch.testing.assert_close(task.predict(network, images).label_map((32, 64)), whole)


def test_wherever_test_images_are_looked_at_it_is_by_windows(flags, make_run):
    run = make_run(reading.from_flags([*flags, "--data.window=[32, 32]", "--data.window_step=[32, 16]"]), "looks")
    session, seen = run.session, []
    for network in (session.teacher, session.student):
        network.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape[2:])))
    batch = fixed_images(session)
    looks = {
        "gap": lambda: held_out_gaps(session),
        "search": lambda: draw_search(session, batch, run.folder, 0),
        "answers": lambda: draw_answers(session, batch, run.folder),
    }
    for name, look in looks.items():
        look()
        assert set(seen) == {(32, 32)}, name
        seen.clear()


def test_a_missing_auxiliary_head_is_refused_before_the_teacher_learns(flags, make_run, steps):
    with pytest.raises(UserError, match=r"--loss.auxiliary_alpha needs an auxiliary head, and the student has none"):
        make_run(reading.from_flags([*flags, "--loss.auxiliary_alpha=0.4"]))
    assert not any(steps.values())
