"""Each message of docs/troubleshooting.md, provoked as a user provokes it."""

import re
import sys

import pytest
from PIL import Image

from tests.docs.pages import ROOT
from tst_fast import train

PAGE = ROOT / "docs/troubleshooting.md"
SMALL = ["--student.name=convnet", "--student.arguments={channels: [4]}", "--data.image_size=32", "--data.resize=32"]
DIGITS = ["--config=digits", "--dry_run", "--student.arguments={channels: [4]}"]


@pytest.fixture
def images(tmp_path):
    """Class folders of two classes, six images each."""
    for split in ("train", "val"):
        for label, name in enumerate(("cat", "dog")):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(6):
                picture = Image.new("RGB", (40, 40), (40 * number, 100 * label, 60))
                picture.save(tmp_path / split / name / f"{number}.jpg")
    return tmp_path


def folder(images, *flags):
    return ["--config=folder", f"--data.root={images}", "--data.batch_size=4", "--teacher.name=convnet", *SMALL,
            "--teacher.arguments={channels: [4]}", "--dry_run", *flags]  # fmt: skip


def truncated(images):
    file = images / "train/dog/3.jpg"
    file.write_bytes(file.read_bytes()[:-200])
    return folder(images)


def bilevel(images):
    Image.new("1", (40, 40)).save(images / "train/dog/6.tiff")
    return folder(images)


def other_classes(images):
    (images / "val/dog").rename(images / "val/emu")
    return folder(images)


def empty_class(images):
    (images / "train/eel").mkdir()
    return folder(images)


def text_for_weights(images):
    (images / "weights.pth").write_text("no weights")
    return [*DIGITS, f"--teacher.checkpoint={images / 'weights.pth'}"]


def other_architecture(images):
    from tst_fast.models.build import build_model
    from tst_fast.models.weights import save_weights

    file = images / "teacher.safetensors"
    save_weights(build_model("convnet", 10, {"channels": [3]}), file, "convnet", [str(i) for i in range(10)])
    return [*DIGITS, f"--teacher.checkpoint={file}"]


PROVOKED = {
    "unknown setting": lambda images: ["--config=digits", "--data.bach_size=4"],
    "no preset of this name": lambda images: ["--config=resnet34-resnet19"],
    "nothing says which data set it is for": lambda images: [f"--data.root={images}"],
    "there is no such folder": lambda images: ["--config=folder", "--data.root=/nowhere"],
    "must hold the folders train and val": lambda images: folder(images / "train"),
    "class folders without images": empty_class,
    "training split lacks": other_classes,
    "truncated": truncated,
    "DALI cannot decode it, though Pillow can": bilevel,
    "exceeds the 12 training images": lambda images: folder(images, "--data.batch_size=13"),
    "there is no model": lambda images: [*DIGITS, "--student.name=resnet19"],
    "is of another architecture than": other_architecture,
    "cannot be read": text_for_weights,
    "there are no pretrained weights of": lambda images: [*DIGITS, "--teacher.pretrained=true"],
    "it must be": lambda images: ["--config=digits", "--student_training.epochs=-1"],
    "no run was begun there": lambda images: [f"--resume={images}"],
    "the DALI loader needs NVIDIA DALI": lambda images: folder(images, "--data.loader=dali"),
    "needs NVIDIA apex": lambda images: [*DIGITS, "--student_training.optimizer.name=lamb"],
    "is not finite at step": lambda images: [
        "--config=digits", "--student.arguments={channels: [4]}", "--teacher.arguments={channels: [4]}",
        f"--output={images / 'runs'}", "--teacher_training.epochs=1", "--teacher_training.optimizer.learning_rate=1e30",
    ],
}  # fmt: skip


def test_the_page_and_this_test_have_the_same_messages():
    headings = re.findall(r"^### `(.+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(PROVOKED)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("message", PROVOKED)
def test_the_message_is_printed(message, images, monkeypatch, capsys):
    if "NVIDIA DALI" in message:
        monkeypatch.setitem(sys.modules, "nvidia.dali", None)
        monkeypatch.delitem(sys.modules, "tst_pipelines.loaders.dali_graph", raising=False)
        monkeypatch.delattr("tst_pipelines.loaders.dali_graph", raising=False)
    if "apex" in message:
        monkeypatch.setitem(sys.modules, "apex", None)
    with pytest.raises(SystemExit) as stopped:
        train.main(PROVOKED[message](images))
    assert str(stopped.value).startswith("error: ") and message in str(stopped.value)
