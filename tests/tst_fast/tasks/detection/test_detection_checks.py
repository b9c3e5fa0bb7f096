"""What a detector cannot be trained on is refused, by flag and remedy, before anything is trained."""

import json

import pytest
from accelerate import Accelerator
from torchvision.models.detection.anchor_utils import AnchorGenerator

from tests.tst_fast.boxes import coco_flags, write_coco
from tests.tst_fast.detectors import CLASSES, TINY, images, tiny
from tst_fast.config import reading
from tst_fast.config.schema import Config, replace
from tst_fast.errors import UserError
from tst_fast.models.detection import build_detector
from tst_fast.tasks import make_task
from tst_fast.tasks.detection.checks import absent_classes, check_pair, look
from tst_fast.tasks.detection.data import load_splits
from tst_fast.tasks.task import Splits
from tst_pipelines import DataError

CONFIG = replace(Config(task="detection"), data__name="scenes", data__crop="fit", data__crop_size=(96, 96))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data__name": "digits"}, "--data.name digits has no boxes: give one of scenes, coco"),
        ({"data__crop": "pad"}, "--data.crop pad is not for boxes: give --data.crop fit"),
        ({"data__window": (8, 8)}, "--data.window is for label maps"),
        ({"policy__prior": "encoder"}, "--policy.prior encoder is not for detection"),
        (
            {"policy__objective": "cross_entropy"},
            "--policy.objective cross_entropy is not for detection",
        ),
        ({"loss__name": "dkd"}, "give --loss.name kd"),
        ({"loss__standardise": True}, "--loss.standardise false"),
        ({"student_training__mixup": 0.2}, "--student_training.mixup is not for detection: set it to 0"),
        ({"teacher_training__label_smoothing": 0.1}, "--teacher_training.label_smoothing is not for detection"),
        ({"task": "classification"}, "--data.name scenes is not for recognition"),
    ],
)
def test_options_without_a_meaning(changes, message):
    with pytest.raises(UserError, match=message):
        make_task(replace(CONFIG, **changes), Accelerator(cpu=True))


def test_the_canvas_is_made_of_whole_cells():
    small, large = tiny("fcos"), build_detector("fcos", CLASSES, {"backbone": "resnet18", "convs": 1})
    assert look(small, (96, 112), "student").levels == [12 * 14, 6 * 7]
    with pytest.raises(UserError, match=r"crop_size is \[96, 100\].* multiples of 16 for --student.name.*\[96, 112\]"):
        look(small, (96, 100), "student")
    with pytest.raises(UserError, match=r"multiples of 128 for --teacher.name.*\[128, 128\]"):
        look(large, (96, 128), "teacher")
    assert small.training is False
    assert not small.backbone._forward_hooks


def test_detectors_that_answer_other_questions():
    outputs = {kind: look(tiny(kind), (96, 96), "student") for kind in TINY}
    coarse = look(tiny("fcos", channels=[4, 8, 8, 8, 8]), (96, 96), "student")
    for kind in outputs:
        check_pair(CONFIG, outputs[kind], outputs[kind])
    with pytest.raises(UserError, match=r"two kinds: give --loss.alpha 0 --loss.box_weight 0"):
        check_pair(CONFIG, outputs["fcos"], outputs["faster_rcnn"])
    for student, teacher in ((outputs["fcos"], outputs["retinanet"]), (coarse, outputs["fcos"])):
        with pytest.raises(UserError, match="do not look at the same places"):
            check_pair(CONFIG, student, teacher)
        check_pair(replace(CONFIG, loss__alpha=0.0, loss__box_weight=0.0), student, teacher)


@pytest.mark.parametrize("kind", ["fcos", "retinanet"])
def test_a_head_must_answer_for_each_anchor(kind):
    """As a detector of one's own may not; of 12 x 12 and 6 x 6 cells, each with two anchors."""
    task, detector = make_task(CONFIG, Accelerator(cpu=True)), tiny(kind)
    task.check_output(detector(images(2)), "student", len(CLASSES))
    detector.model.anchor_generator = AnchorGenerator(((8, 16),) * 2, ((1.0,),) * 2)
    with pytest.raises(UserError, match=r"--student.name .* must put out logits \[2, 360, 4\] for 2 images, got"):
        task.check_output(detector(images(2)), "student", len(CLASSES))


def test_classes_without_boxes(tmp_path):
    config = reading.from_flags(["--config=detection/scenes", *coco_flags(write_coco(tmp_path))])
    whole = load_splits(config.data)
    assert absent_classes(whole).state == "good"
    annotations = tmp_path / "train.json"
    content = json.loads(annotations.read_text())
    content["annotations"] = [one for one in content["annotations"] if one["category_id"] == 3]
    annotations.write_text(json.dumps(content))
    fewer = load_splits(config.data)
    finding = absent_classes(fewer)
    assert (finding.state, finding.remedy) == ("wrong", "no training box of bar: add some, or leave the class out")
    swapped = Splits(whole.train, fewer.train)
    assert (absent_classes(swapped).state, absent_classes(swapped).remedy[:23]) == (
        "doubtful",
        "no test box of bar: ave",
    )
    content["annotations"] = []
    annotations.write_text(json.dumps(content))
    with pytest.raises(DataError, match="no training image has a box"):
        load_splits(config.data)
