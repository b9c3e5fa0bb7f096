"""Every preset does two steps of everything, on made-up images; heavy networks are made small."""

import json

import pytest
from torchvision.models import resnet

from tests.tst_fast.boxes import coco_flags, write_coco
from tests.tst_fast.label_maps import pairs_flags, write_pairs
from tst_fast.config import reading
from tst_fast.run.plan import plan
from tst_fast.run.search import PolicySearch
from tst_fast.run.update import ModelUpdate
from tst_fast.train import main

SMALL_SWIN = "{img_size: 64, embed_dim: 12, depths: [1, 1, 1, 1], num_heads: [1, 1, 1, 1]}"
SMALL = {
    "resnet110": "{depth: 20}",
    "wrn_28_10": "{depth: 16, factor: 1}",
    "timm/swin_large_patch4_window7_224": SMALL_SWIN,
    "timm/swin_tiny_patch4_window7_224": SMALL_SWIN,
    "timm/convnext_base.fb_in1k": "{dims: [8, 16, 16, 16], depths: [1, 1, 1, 1]}",
}
ONE_BLOCK = "encoder: {layers: [1, 1, 1, 1]}"
SMALL_SEGMENTERS = {
    "deeplabv3/resnet101s": f"{{align_corners: true, {ONE_BLOCK}, width: 16}}",
    "pspnet/resnet101c": f"{{{ONE_BLOCK}, width: 16}}",
    "deeplabv3/resnet18": f"{{align_corners: true, {ONE_BLOCK}}}",
    "pspnet/resnet18": f"{{align_corners: true, {ONE_BLOCK}}}",
    "deeplabv3/mobilenetv2_100": "{auxiliary: false, align_corners: true}",
}
FEW_REGIONS = {f"rpn_post_nms_top_n_{mode}": 20 for mode in ("train", "test")} | {"box_batch_size_per_image": 16}
WITHOUT_DOWNLOADS = {"backbone": "resnet18", "pretrained": False, "weights_backbone": None}
PRESETS = {
    task: [name for name in reading.presets() if name.startswith(task)]
    for task in ("classification", "segmentation", "detection")
}
NAMES = [preset.removeprefix("classification/") for preset in PRESETS["classification"]]
PAIRS = [name for name in NAMES if name not in ("digits", "folder")]


@pytest.fixture(autouse=True)
def _shallow_resnets(monkeypatch):
    """Of torchvision, whose arguments do not say how deep: one block a stage."""
    make = resnet._resnet
    monkeypatch.setattr(resnet, "_resnet", lambda block, layers, *rest, **more: make(block, [1] * 4, *rest, **more))


@pytest.mark.parametrize("preset", PRESETS["segmentation"])
def test_dry_run_on_label_maps(preset, steps, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = reading.from_flags(["--config", preset, "--data.root=anywhere"])
    flags = [*pairs_flags(write_pairs(tmp_path)), "--data.crop_size=[32, 32]", "--data.batch_size=4"]
    for role in ("teacher", "student"):
        if (name := getattr(config, role).name) in SMALL_SEGMENTERS:
            flags.append(f"--{role}.arguments={SMALL_SEGMENTERS[name]}")
    main(["--config", preset, *flags, "--dry_run"])
    assert steps == {ModelUpdate: 4, PolicySearch: 2}
    assert "two steps of everything went well" in capsys.readouterr().out


@pytest.mark.parametrize("preset", PRESETS["detection"])
def test_dry_run_on_boxes(preset, steps, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = reading.from_flags(["--config", preset, "--data.root=anywhere"])
    flags = [*coco_flags(write_coco(tmp_path, train=4, test=2)), "--data.batch_size=2", "--teacher.pretrained=false"]
    flags += ["--data.crop_size=[64, 64]", "--data.threads=1"]
    for role in ("teacher", "student"):
        arguments = dict(getattr(config, role).arguments)
        arguments |= {name: value for name, value in WITHOUT_DOWNLOADS.items() if name in arguments}
        if "fasterrcnn" in getattr(config, role).name:
            arguments |= FEW_REGIONS
        flags.append(f"--{role}.arguments={json.dumps(arguments)}")
    main(["--config", preset, *flags, "--dry_run"])
    assert steps == {ModelUpdate: 4, PolicySearch: 2}
    assert "two steps of everything went well" in capsys.readouterr().out


@pytest.mark.parametrize("preset", PRESETS["classification"])
def test_dry_run(preset, steps, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = reading.from_flags(["--config", preset, "--data.root=anywhere"])
    side = 64 if "swin" in preset else 32
    flags = ["--data.name=synthetic", "--data.classes=3", "--data.images=100", f"--data.image_size={side}"]
    flags += ["--data.batch_size=4", "--data.resize=null", "--teacher.pretrained=false"]
    flags += ["--teacher_training.optimizer.learning_rate=0.001"]  # at 0.1, logits reach 1e20
    for role in ("teacher", "student"):
        if (name := getattr(config, role).name) in SMALL:
            flags.append(f"--{role}.arguments={SMALL[name]}")
    main(["--config", preset, *flags, "--dry_run"])
    assert steps == {ModelUpdate: 4, PolicySearch: 2}
    assert "two steps of everything went well" in capsys.readouterr().out


def test_the_papers_pairs_are_there():
    """Epochs, and passes of the search, as the paper gives them."""
    found = {}
    for preset in PAIRS:
        config = reading.from_flags(
            ["--config", preset, "--data.root=anywhere", "--teacher.checkpoint=file", "--teacher.pretrained=false"]
        )
        passes = plan(config, 10)
        found[preset] = tuple(sum(one.stage == stage for one in passes) for stage in ("student", "search"))
    cifar = {
        "resnet32x4-resnet8x4",
        "wrn_40_2-wrn_16_2",
        "wrn_40_4-wrn_16_2",
        "wrn_28_10-wrn_16_2",
        "vgg13-mobilenetv2",
    }
    cifar |= {"resnet32x4-shufflenetv1", "resnet110-resnet32", "resnet110-resnet20", "resnet56-resnet20"}
    assert found == {
        **dict.fromkeys(cifar, (240, 60)),
        "wrn_40_2-wrn_40_1": (240, 20),
        "wrn_40_2-shufflenetv1": (240, 35),
        "vgg13-vgg8": (240, 35),
        "resnet34-resnet18": (100, 10),
        "resnet34-resnet18-tenth": (100, 15),
        "resnet50-mobilenetv1": (110, 10),
        "swin_large-resnet50": (450, 20),
        "swin_large-swin_tiny": (300, 20),
        "convnext_base-resnet50": (300, 20),
    }
