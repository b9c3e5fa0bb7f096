"""Detectors do what torchvision's do, on the same canvas; what they score objects by is checked by its definition."""

import copy

import pytest
import torch
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import box_iou

from tests.tst_fast.detectors import CLASSES, SIDE, TINY, images, objects, tiny
from tst_fast.errors import UserError
from tst_fast.models.detection import build_detector
from tst_fast.models.detection.anchors import listed

KINDS = list(TINY)
AS_IT_IS = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3, "min_size": SIDE, "max_size": SIDE, "_skip_resize": True}


def _torchvisions(detector, kind):
    """The same weights in torchvision's own model, which takes lists of images."""
    parts = copy.deepcopy(detector)
    if kind == "faster_rcnn":
        rpn, heads = parts.rpn, parts.roi_heads
        model = FasterRCNN(
            parts.backbone,
            rpn_anchor_generator=rpn.anchor_generator,
            rpn_head=rpn.head,
            box_roi_pool=heads.box_roi_pool,
            box_head=heads.box_head,
            box_predictor=heads.box_predictor,
            **AS_IT_IS,
        )
        assert isinstance(heads.box_predictor, FastRCNNPredictor)
        return model
    make = {"fcos": FCOS, "retinanet": RetinaNet}[kind]
    model, thresholds = parts.model, {"score_thresh": 0.05}
    return make(
        parts.backbone, len(CLASSES), anchor_generator=model.anchor_generator, head=parts.head, **AS_IT_IS, **thresholds
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_torchvisions(kind):
    detector = tiny(kind).train()
    theirs = _torchvisions(detector, kind).train()
    torch.manual_seed(1)  # of the samples of the two stages
    found = detector(images()).loss(objects())
    torch.manual_seed(1)
    expected = sum(theirs(list(images()), listed(objects(), int(kind == "faster_rcnn"))).values())
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    found.backward()
    assert all(parameter.grad is not None for parameter in detector.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_detections_are_torchvisions(kind):
    detector = tiny(kind)
    expected = _torchvisions(detector, kind).eval()(list(images()))
    found = detector(images()).detections([(SIDE, SIDE)] * 3)
    assert sum(len(one["boxes"]) for one in found) > 10
    for one, other in zip(found, expected, strict=True):
        sides = other["boxes"][:, 2:] - other["boxes"][:, :2]
        sound = (sides >= 0.01).all(dim=1)  # of dense detectors, torchvision gives boxes without an area, too
        torch.testing.assert_close(one["boxes"], other["boxes"][sound])
        torch.testing.assert_close(one["scores"], other["scores"][sound])
        assert torch.equal(one["labels"] + int(kind == "faster_rcnn"), other["labels"][sound])
    (small,) = detector(images(1)).detections([(40, 60)])
    assert small["boxes"][:, 0::2].max() <= 60
    assert small["boxes"][:, 1::2].max() <= 40
    assert (small["boxes"][:, 2:] > small["boxes"][:, :2]).all()  # and none of what lies beside the picture
    assert len({len(values) for values in small.values()}) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_an_output_are_those_of_parts_of_the_images(kind):
    detector, targets = tiny(kind), objects()
    parts = detector(images(4)).split(2)
    for part, some in zip(parts, images(4).split(2), strict=True):
        rows = slice(0, 2)
        alone = detector(some)
        scores = [one.object_scores(targets.boxes[rows], targets.labels[rows], 0.5) for one in (part, alone)]
        torch.testing.assert_close(scores[0], scores[1], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(
            part.loss(targets[rows]), alone.loss(targets[rows])
        ) if kind != "faster_rcnn" else None


@pytest.mark.parametrize("kind", ["fcos", "retinanet"])
def test_an_object_has_the_best_score_in_its_box(kind):
    """By loops over what the detector says, in float64."""
    detector, targets = tiny(kind).double(), objects()
    output, beta = detector(images().double()), 0.3
    found = output.object_scores(targets.boxes.double(), targets.labels, beta)
    centres = (output.anchors[:, :2] + output.anchors[:, 2:]) / 2
    for image, slot in ((0, 0), (0, 1), (2, 0)):
        box, label = targets.boxes[image, slot].double(), targets.labels[image, slot]
        inside = (
            (centres[:, 0] > box[0]) & (centres[:, 0] < box[2]) & (centres[:, 1] > box[1]) & (centres[:, 1] < box[3])
        )
        probability = output.logits[image, :, label].sigmoid()
        if output.quality is not None:
            probability = (probability * output.quality[image, :, 0].sigmoid()).sqrt()
        shared = box_iou(output.boxes[image], box[None])[:, 0].clamp(min=1e-6)
        scores = probability ** (1 - beta) * shared**beta
        assert found[image, slot].item() == pytest.approx(scores[inside].max().item(), rel=1e-9)


def test_a_box_between_the_locations_asks_the_nearest():
    detector = tiny("fcos").double()
    box = torch.tensor([[[15.0, 15, 17, 17]]], dtype=torch.float64)  # anchors' centres are at 0, 8, 16 ... of stride 8
    lone = box + torch.tensor([3.0, 0, 3, 0])
    output = detector(images(1).double())
    label = torch.tensor([[2]])
    place = ((output.anchors[:, :2] + output.anchors[:, 2:]) / 2 - torch.tensor([19.0, 16])).norm(dim=1).argmin()
    probability = (output.logits[0, place, 2].sigmoid() * output.quality[0, place, 0].sigmoid()).sqrt()
    expected = probability.sqrt() * box_iou(output.boxes[0, place][None], lone[0])[0, 0].clamp(min=1e-6).sqrt()
    assert output.object_scores(lone, label, 0.5).item() == pytest.approx(expected.item(), rel=1e-9)


def test_a_region_of_an_object_is_its_box_or_a_proposal():
    detector, targets = tiny("faster_rcnn").double(), objects()
    output = detector(images().double())
    boxes = targets.boxes.double()
    found = output.object_scores(boxes, targets.labels, 0.5)
    one, own = output.split(1)[0], boxes[0]
    regions = torch.cat([own, one.proposals[0].double()])
    logits, places = one.regions([regions])
    for slot in range(2):
        label = targets.labels[0, slot] + 1
        near = box_iou(regions, own[slot][None])[:, 0] >= 0.5
        scores = (
            logits.softmax(1)[:, label].sqrt() * box_iou(places[:, label], own[slot][None])[:, 0].clamp(1e-6).sqrt()
        )
        assert found[0, slot].item() == pytest.approx(scores[near].max().item(), rel=1e-6)


def test_anchors_lie_on_the_cells_of_any_pyramid():
    for kind in TINY:
        deeper = tiny(kind, channels=[4, 4, 8, 8, 8])
        output = deeper(torch.zeros(1, 3, SIDE, SIDE))
        anchors = output.anchors.view(-1, 2, 2)
        centres = anchors.mean(dim=1).unique(dim=0)
        assert {tuple(centre) for centre in centres.tolist()} == {
            (16.0 * x, 16.0 * y) for x in range(6) for y in range(6)
        }
        sides = (anchors[:, 1] - anchors[:, 0]).prod(dim=1).sqrt()
        assert sides.min() >= 16


def test_backbones_of_torchvision_and_timm():
    for backbone, more in (("resnet18", {"frozen_norms": True}), ("timm/resnet18", {"width": 64})):
        detector = build_detector("fcos", CLASSES, {"backbone": backbone, "convs": 1, **more}).eval()
        output = detector(torch.zeros(1, 3, 128, 128))
        assert output.levels == [256, 64, 16, 4, 1]
        norms = [
            type(module).__name__ for module in detector.backbone.modules() if "BatchNorm" in type(module).__name__
        ]
        assert (set(norms) == {"FrozenBatchNorm2d"}) == ("frozen_norms" in more)
    detector = build_detector("faster_rcnn", CLASSES, {"backbone": "timm/resnet18", "hidden": 8}).eval()
    assert list(detector(torch.zeros(1, 3, 64, 64)).features) == ["0", "1", "2", "3", "pool"]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("fcso", {}, r"there is no detector 'fcso'.*fcos"),
        ("maskrcnn_resnet50_fpn", {}, "there is no detector"),
        ("fcos", {"colour": 1}, "does not take the arguments"),
        ("fcos", {"width": 40}, "multiple of 32"),
        ("retinanet", {"width": 40}, "multiple of 32"),
        ("fcos", {"channels": [8]}, "must have two stages"),
        ("fcos", {"backbone": "resnet19"}, "backbone 'resnet19'"),
        ("fcos", {"backbone": "timm/resnet19"}, "timm has no model 'resnet19'"),
        ("fcos", {"backbone": "timm/vit_tiny_patch16_224"}, "cannot be a backbone"),
    ],
)
def test_what_is_not_there_is_refused(name, arguments, message):
    with pytest.raises(UserError, match=message):
        build_detector(name, CLASSES, arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("fcos", {"backbone": "resnet18", "pretrained": True}),
        ("fcos", {"backbone": "timm/resnet18", "pretrained": True}),
        ("fcos_resnet50_fpn", {"weights_backbone": "DEFAULT"}),
    ],
)
def test_weights_of_backbones_that_cannot_be_had(name, arguments, no_internet):
    with pytest.raises(UserError, match=r"published weights of .* could not be downloaded .*or give a checkpoint"):
        build_detector(name, CLASSES, arguments)


OWN = """
from torch import nn
from tst_fast.models.detection.build import faster_rcnn, fcos, retinanet

def dense(num_classes): return fcos(num_classes, convs=1).model
def adapted(num_classes): return faster_rcnn(num_classes)
def fixed(num_classes): return retinanet(91).model
def other(num_classes): return nn.Identity()
"""


def test_a_detector_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "own_detectors.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    assert build_detector("own_detectors:dense", CLASSES, {})(images()).logits.shape[2] == len(CLASSES)
    assert build_detector("own_detectors:adapted", CLASSES, {}).classes == len(CLASSES)
    with pytest.raises(
        UserError, match=f"own_detectors:fixed must be for the {len(CLASSES)} classes of the data, got 91"
    ):
        build_detector("own_detectors:fixed", CLASSES, {})
    with pytest.raises(UserError, match="own_detectors:other must be torchvision's FCOS, RetinaNet or FasterRCNN"):
        build_detector("own_detectors:other", CLASSES, {})
