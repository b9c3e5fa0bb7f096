"""Published files of detectors: rows of classes and names, on random or numbered values; no real file was at hand."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.models import get_model
from torchvision.models.detection import FCOS_ResNet50_FPN_Weights

from tst_fast.errors import UserError
from tst_fast.models.detection import build_detector
from tst_fast.models.detection.build import _adapted
from tst_fast.models.detection.published import NEVER_GIVEN, ROWS, UNUSED, of_classes, own_names, without_unused_classes

CATEGORIES = FCOS_ResNet50_FPN_Weights.DEFAULT.meta["categories"]
USED = [name for name in CATEGORIES if name not in UNUSED]
TINY_BODY = {"weights": None, "weights_backbone": None}


def test_the_numbers_that_no_category_has():
    assert [n for n, name in enumerate(CATEGORIES) if name == "N/A"] == list(NEVER_GIVEN)
    assert of_classes("fcos", CATEGORIES, USED) == [n for n in range(1, 91) if n not in NEVER_GIVEN]
    with pytest.raises(UserError, match="for 80 classes and the data has 2"):
        of_classes("fcos", CATEGORIES, USED[:2])
    with pytest.raises(UserError, match="'toothbrush' where the data has 'comb'"):
        of_classes("fcos", CATEGORIES, [*USED[:-1], "comb"])


@pytest.mark.parametrize(
    "name", ["fcos_resnet50_fpn", "retinanet_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn"]
)
def test_rows_of_classes_that_are_used(name):
    """Each row's bias is its number, so that what is left says where it is from."""
    model = get_model(name, **TINY_BODY, num_classes=91)
    state, anchors = model.state_dict(), 9 if name.startswith("retina") else 1
    of_rows = {
        key: values
        for key, values in state.items()
        if key in ROWS and key.endswith(("cls_logits.bias", "cls_score.bias"))
    }
    for values in of_rows.values():
        values.copy_(torch.arange(91.0).repeat(anchors))
    two_stage = name.startswith("faster")
    if two_stage:
        state["roi_heads.box_predictor.bbox_pred.bias"].copy_(torch.arange(91.0).repeat_interleave(4))
    used = of_classes(name, CATEGORIES, USED)
    expected = torch.tensor([*([0] if two_stage else []), *used]).float()
    renamed = own_names(state, 80)
    detector = without_unused_classes(_adapted(model), used).eval()
    for key in of_rows:
        assert torch.equal(detector.state_dict()[key], expected.repeat(anchors))
        assert torch.equal(renamed[key], detector.state_dict()[key])
    if two_stage:
        assert (
            detector.state_dict()["roi_heads.box_predictor.bbox_pred.bias"].tolist()
            == expected.repeat_interleave(4).tolist()
        )
    output = detector(torch.zeros(1, 3, 128, 128))
    output.detections([(128, 128)])
    fresh = build_detector(name, USED, {}).eval()
    fresh.load_state_dict(renamed)
    assert not two_stage or output.regions([torch.tensor([[0.0, 0, 64, 64]])])[0].shape == (1, 81)


def test_a_retinanet_from_before_its_heads_had_norms():
    """torchvision's own loading renames such files too: both find the same."""
    detector = build_detector("retinanet", USED[:3], {"backbone": "resnet18", "norm": False}).eval()
    before = {}
    for name, values in detector.state_dict().items():
        parts = name.split(".")
        if parts[0] == "head" and parts[2] == "conv":
            name = ".".join([*parts[:3], str(2 * int(parts[3])), parts[5]])
        before[name] = values
    assert set(own_names(before, 3)) == set(detector.state_dict())
    detector.load_state_dict(before)  # torchvision's
    assert all(torch.equal(values, own_names(before, 3)[name]) for name, values in detector.state_dict().items())


def test_a_retinanet_of_mmdetection():
    """By its published names: the same weights give the same answers."""
    detector = build_detector(
        "retinanet", USED[:3], {"backbone": "resnet50", "norm": False, "mmdetection": True}
    ).eval()
    theirs = {_mmdetections(name): values for name, values in detector.state_dict().items()}
    assert "neck.fpn_convs.4.conv.weight" in theirs
    assert "bbox_head.cls_convs.3.conv.bias" in theirs
    again = own_names(theirs, 3)
    assert set(again) == set(detector.state_dict())
    assert all(torch.equal(values, again[name]) for name, values in detector.state_dict().items())


@pytest.mark.parametrize("backbone", ["resnet18", "timm/resnet10t"])
def test_coarser_levels_of_mmdetection(backbone):
    """Convolutions of the backbone's last stage, one after the other: its FPN with relu_before_extra_convs=False."""
    arguments = {"backbone": backbone, "mmdetection": True} | ({} if backbone == "resnet18" else {"width": 512})
    pyramid = build_detector("retinanet", USED[:3], arguments).eval().model.backbone
    seen = []
    pyramid.fpn.register_forward_pre_hook(lambda module, inputs: seen.append(list(inputs[0].values())[-1]))
    *_, p6, p7 = pyramid(torch.randn(1, 3, 128, 128)).values()
    extra = {name: (layer.weight, layer.bias) for name, layer in pyramid.fpn.extra_blocks.named_children()}
    torch.testing.assert_close(p6, F.conv2d(seen[0], *extra["p6"], stride=2, padding=1))
    torch.testing.assert_close(p7, F.conv2d(p6, *extra["p7"], stride=2, padding=1))


def test_anchors_of_mmdetection():
    """Of its base sizes, 4 strides and two between doublings, by its formula: sides of size times sqrt(ratio)."""
    detector = build_detector("retinanet", USED[:3], {"backbone": "resnet18", "mmdetection": True})
    anchors = detector.model.anchor_generator.cell_anchors[1]
    expected = [
        (4 * 16 * 2 ** (third / 3) / ratio**0.5, 4 * 16 * 2 ** (third / 3) * ratio**0.5)
        for ratio in (0.5, 1, 2)
        for third in range(3)
    ]
    torch.testing.assert_close(anchors[:, 2:] - anchors[:, :2], torch.tensor(expected))
    torch.testing.assert_close(anchors[:, :2], -anchors[:, 2:])


def _mmdetections(name):
    path, _, kind = name.rpartition(".")
    parts = path.split(".")
    if parts[:2] == ["backbone", "body"]:
        return ".".join(["backbone", *parts[2:], kind])
    if parts[:2] == ["backbone", "fpn"]:
        block, level = parts[2:4]
        if block == "inner_blocks":
            return f"neck.lateral_convs.{level}.conv.{kind}"
        return f"neck.fpn_convs.{level if block == 'layer_blocks' else 3 + ('p6', 'p7').index(level)}.conv.{kind}"
    last = {"cls_logits": "retina_cls", "bbox_reg": "retina_reg"}
    if parts[-1] in last:
        return f"bbox_head.{last[parts[-1]]}.{kind}"
    tower = "cls_convs" if parts[1] == "classification_head" else "reg_convs"
    return f"bbox_head.{tower}.{parts[3]}.conv.{kind}"
