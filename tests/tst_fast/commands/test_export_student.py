"""A run's student for other programs: as ONNX, which onnxruntime runs, and as a folder for Hugging Face's Hub."""

import json
import shutil
from types import SimpleNamespace
from unittest.mock import Mock

import huggingface_hub
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from accelerate import Accelerator
from huggingface_hub import ModelCard

from tests.tst_fast import detectors
from tst_fast.cli import main
from tst_fast.config import reading
from tst_fast.errors import UserError
from tst_fast.models.segmentation import build_segmenter
from tst_fast.run.onnx_file import write_onnx
from tst_fast.run.prediction import Predictor
from tst_fast.tasks import make_task
from tst_pipelines import digits


def _run_onnx(file, images):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": images}), strict=True))


def test_recognition_answers_as_the_student_does(whole_run, tmp_path, capsys):
    main(["export", "--onnx", str(whole_run.folder), "--output", str(tmp_path / "student.onnx")])
    assert "RGB in 0..1, not normalised, to logits" in capsys.readouterr().out
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3))
    found = _run_onnx(tmp_path / "student.onnx", (pixels / 255).transpose(0, 3, 1, 2).astype(np.float32))
    data = whole_run.config.data
    normalised = torch.from_numpy((pixels / 255 - data.mean) / data.std).permute(0, 3, 1, 2).float()
    student = Predictor(whole_run.folder, Accelerator(cpu=True)).network
    torch.testing.assert_close(torch.from_numpy(found["logits"]), student(normalised), atol=1e-4, rtol=0)
    about = {item.key: item.value for item in onnx.load(tmp_path / "student.onnx").metadata_props}
    assert json.loads(about["classes"]) == list(digits()[0].classes) and about["task"] == "classification"


def _student(preset, network, size):
    """What `write_onnx` takes, of a network with random weights."""
    config = reading.from_flags([f"--config={preset}", f"--data.crop_size={list(size)}"])
    task = make_task(config, Accelerator(cpu=True))
    return SimpleNamespace(config=config, task=task, network=network.eval(), classes=("a", "b"))


def _normalised(student, images):
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (student.config.data.mean, student.config.data.std))
    return (images - mean) / std


def test_segmentation_answers_each_pixel(tmp_path):
    torch.manual_seed(0)
    student = _student("segmentation/scenes", build_segmenter("dilated", 3, {"channels": [4, 4, 8, 8]}), (32, 48))
    assert write_onnx(student, tmp_path / "student.onnx", (40, 64)) == ["logits"]
    images = torch.rand(3, 3, 40, 64)
    output = student.network(_normalised(student, images))
    expected = torch.nn.functional.interpolate(output.logits, (40, 64), mode="bilinear")
    found = _run_onnx(tmp_path / "student.onnx", images.numpy())["logits"]
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=0)


def test_detection_scores_each_place_and_leaves_suppression_to_others(tmp_path):
    student = _student("detection/scenes", detectors.tiny("retinanet"), (96, 96))
    write_onnx(student, tmp_path / "student.onnx")
    images = torch.rand(3, 3, 96, 96)
    output = student.network(_normalised(student, images))
    found = _run_onnx(tmp_path / "student.onnx", images.numpy())
    torch.testing.assert_close(torch.from_numpy(found["scores"]), output.logits.sigmoid(), atol=1e-4, rtol=0)
    anchors = output.anchors.expand_as(output.regression)
    expected = output.detector.decode(output.regression, anchors)
    torch.testing.assert_close(torch.from_numpy(found["boxes"]), expected, atol=1e-2, rtol=0)
    proposing = _student("detection/scenes", detectors.tiny("faster_rcnn"), (96, 96))
    with pytest.raises(UserError, match="two-stage detectors cannot be exported to ONNX"):
        write_onnx(proposing, tmp_path / "other.onnx")


@pytest.fixture
def hub(monkeypatch):
    """What a stand-in for Hugging Face's Hub was asked to do."""
    asked = []

    class Hub:
        def whoami(self):
            return {"name": "me"}

        def create_repo(self, repository, **options):
            asked.append((repository, options))
            return f"https://hub/{repository}"

        def upload_folder(self, **options):
            asked.append({name: str(value) for name, value in options.items()})

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    return asked


def test_a_folder_for_the_hub(whole_run, tmp_path, hub, capsys):
    run, folder = tmp_path / "run", tmp_path / "hub"
    shutil.copytree(whole_run.folder, run)
    text = (run / "config.yaml").read_text().replace("output: runs", "output: /home/someone/runs")
    (run / "config.yaml").write_text(text)
    main(["export", "--hub", str(run), "--repository", "me/digits", "--private", "--output", str(folder)])
    assert hub[0] == ("me/digits", {"private": True, "exist_ok": True})
    assert (hub[1]["repo_id"], hub[1]["folder_path"]) == ("me/digits", str(folder))
    assert "uploaded to https://hub/me/digits" in capsys.readouterr().out
    card = ModelCard.load(folder / "README.md")
    results = {one.metric_type: one.metric_value for one in card.data.eval_results}
    assert results == whole_run.result["student"]
    assert card.data.pipeline_tag == "image-classification" and card.data.library_name == "tst-fast"
    assert f"| student | accuracy | {100 * results['accuracy']:.2f} % |" in card.text
    assert yaml.safe_load((folder / "config.yaml").read_text())["output"] == "runs"
    assert not any(b"/home/someone" in file.read_bytes() for file in folder.iterdir())
    given, copied = (Predictor(place, Accelerator(cpu=True)) for place in (run, folder))
    torch.testing.assert_close(copied.network.state_dict(), given.network.state_dict(), atol=0, rtol=0)
    assert copied.classes == given.classes


@pytest.mark.parametrize(
    ("name", "why"), [("me/digits", "Token is required"), ("a b", "Repo id must use alphanumeric")]
)
def test_a_repository_that_cannot_be_is_refused_before_the_work(name, why, whole_run, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_api.get_token", lambda: None)
    words = ["export", "--hub", str(whole_run.folder), "--output", str(tmp_path / "hub"), "--repository", name]
    with pytest.raises(SystemExit, match=rf"^error: --repository {name}: {why}"):
        main(words)
    assert not list(tmp_path.iterdir())


def test_the_hub_that_refuses_is_told_in_a_line(whole_run, tmp_path, hub, monkeypatch):
    def refused(*_, **__):
        raise huggingface_hub.errors.HfHubHTTPError("403 Forbidden\nmore", response=Mock())

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refused)
    words = ["export", "--hub", str(whole_run.folder), "--output", str(tmp_path / "hub"), "--repository", "me/digits"]
    with pytest.raises(SystemExit, match=r"^error: --repository me/digits: 403 Forbidden$"):
        main(words)
    with pytest.raises(SystemExit, match="is not empty, and nothing in it is to be overwritten"):
        main(words)


PLACES = {
    "a file in no folder": ("--onnx", "nowhere/student.onnx", "no such file or directory"),
    "a folder for a file": ("--onnx", ".", "it is a folder: name a file"),
    "a file for a folder": ("--hub", "file", "not a directory"),
    "below a file": ("--hub", "file/hub", "not a directory"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(place, whole_run, tmp_path, monkeypatch):
    monkeypatch.setattr(Predictor, "__init__", lambda *_: pytest.fail("the student was made first"))
    (tmp_path / "file").touch()
    kind, output, why = PLACES[place]
    with pytest.raises(SystemExit, match=rf"error: --output .* cannot be written( to)?: {why}"):
        main(["export", kind, str(whole_run.folder), "--output", str(tmp_path / output)])
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_fills_is_told_of_the_place(whole_run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(SystemExit, match=r"error: --output .*hub cannot be written: no space left on device"):
        main(["export", "--hub", str(whole_run.folder), "--output", str(tmp_path / "hub")])


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("0 0", "--size is 0 0: height and width must be from 1 to 65,536"),
        ("32 -1", "--size is 32 -1: height and width must be"),
        ("1 1", "--size 1 1: convnet does not take images of this size: .*too small"),
    ],
)
def test_a_size_that_cannot_be(size, message, whole_run, tmp_path):
    with pytest.raises(SystemExit, match=f"error: {message}"):
        main(["export", "--onnx", str(whole_run.folder), "--size", *size.split(), "--output", str(tmp_path / "o.onnx")])


def test_options_of_another_export_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["export", "--onnx", "run", "--repository", "me/digits"])
    assert "--repository is for --hub" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["export", "--hub", "run", "--private"])
    assert "--private is for --repository" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="--to is missing"):
        main(["export", "--policy", "run"])
