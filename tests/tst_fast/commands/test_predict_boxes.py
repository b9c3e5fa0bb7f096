"""`tst-fast predict` for boxes writes what pycocotools reads; `verify-data` names what is wrong with boxes."""

import contextlib
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from tests.tst_fast.boxes import CLASSES, coco_flags, write_coco
from tests.tst_fast.processes import only
from tests.tst_fast.run.test_detection_runs import TINY
from tst_fast.cli import main
from tst_fast.models.detection import DenseOutput
from tst_fast.tasks.detection.predictions import write_predictions
from tst_fast.train import main as train
from tst_pipelines import FitAndPad, UnlabelledBatch


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("coco"))


def _exit_status(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, arguments)])
    return stopped.value.code


def test_a_run_s_student_answers_a_folder(root, tmp_path, capsys):
    short = "--teacher_training.epochs=1", "--teacher_training.optimizer.warmup_epochs=0", "--policy.search=none"
    train([*TINY, *coco_flags(root), *short, f"--output={tmp_path / 'runs'}"])
    assert _exit_status("predict", only(tmp_path / "runs"), root / "test", "--output", tmp_path / "out") == 0
    with contextlib.redirect_stdout(io.StringIO()):
        found = COCO(tmp_path / "out/detections.json")
    assert [image["file_name"] for image in found.loadImgs(found.getImgIds())] == [f"{n}.png" for n in range(4)]
    assert [category["name"] for category in found.loadCats(found.getCatIds())] == list(CLASSES)
    sizes = {image["id"]: (image["width"], image["height"]) for image in found.dataset["images"]}
    for one in found.dataset["annotations"]:
        left, top, width, height = one["bbox"]
        assert left >= 0 and top >= 0
        assert left + width <= sizes[one["image_id"]][0] + 0.01 and top + height <= sizes[one["image_id"]][1] + 0.01
    assert sorted(file.name for file in (tmp_path / "out/boxes").iterdir()) == [f"{n}.png.png" for n in range(4)]
    assert "4 images answered" in capsys.readouterr().out


class _Sure(DenseOutput):
    """Finds one object, at a known place of the canvas."""

    def detections(self, sizes):
        return [{"boxes": torch.tensor([[8.0, 4, 24, 20]]), "scores": torch.tensor([0.9]), "labels": torch.tensor([1])}]


def test_boxes_are_written_in_the_pixels_of_the_file(tmp_path):
    """An image of 100 x 50 pixels in a canvas of 32 x 32: half of the canvas, at 0.32."""
    placement = FitAndPad((32, 32)).place(np.array([[50, 100]]))
    batch = UnlabelledBatch(["sub/a.jpg"], torch.full((1, 32, 32, 3), 90, dtype=torch.uint8), placement)
    write_predictions(batch.files, [(batch, _Sure(*[None] * 6))], CLASSES, tmp_path)
    content = json.loads((tmp_path / "detections.json").read_text())
    (found,) = content["annotations"]
    assert found["bbox"] == pytest.approx([25, 12.5, 50, 50])
    assert (found["score"], found["category_id"]) == (pytest.approx(0.9), 2)
    drawn = np.asarray(Image.open(tmp_path / "boxes/sub/a.jpg.png"))
    assert drawn.shape == (16 * 9, 32 * 9, 3)
    assert (drawn[4 * 9 : 4 * 9 + 2, 8 * 9 : 24 * 9] == (0, 255, 0)).all(-1).mean() > 0.9


def test_verify_data_names_bad_boxes_and_images(tmp_path, capsys):
    root = write_coco(tmp_path)
    content = json.loads((root / "train.json").read_text())
    content["annotations"][0]["bbox"] = [5, 5, 0, 9]
    content["annotations"][2]["bbox"][2] = 500
    content["annotations"][3]["bbox"][:2] = [400, 400]
    content["images"][6]["width"] += 1
    (root / "train.json").write_text(json.dumps(content))
    (root / "test/3.png").write_bytes(b"no image")
    status = _exit_status(
        "verify-data", root, "--config=detection/scenes", *coco_flags(root)[:1], *coco_flags(root)[2:]
    )
    printed = capsys.readouterr().out
    owners = {number: content["annotations"][number]["image_id"] - 10 for number in (0, 2, 3)}
    names = {number: content["images"][image]["file_name"] for number, image in owners.items()}
    assert status == 1
    assert f"train.json: annotations[0] of {names[0]} has no height or width" in printed
    assert f"train.json: annotations[2] of {names[2]} reaches beyond the image" in printed
    assert f"train.json: annotations[3] of {names[3]} has less than a pixel inside the image" in printed
    assert "train/6.png: has 96 x 64 pixels, but 97 x 64 in the annotations" in printed
    assert "test/3.png: " in printed
