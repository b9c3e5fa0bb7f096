"""How published networks are evaluated, by torchvision's transforms and timm's own."""

import pytest
import timm
import torchvision
from torchvision.transforms import CenterCrop, Resize

from tst_fast.config.schema import Config, replace
from tst_fast.models.evaluation import Preparation, preparation, published_preparation


@pytest.mark.parametrize("name", ["resnet50", "resnet18", "efficientnet_b0", "inception_v3", "swin_t"])
def test_torchvisions_are_prepared_as_it_says(name):
    theirs = torchvision.models.get_model_weights(name)["DEFAULT"].transforms()
    expected = Preparation(theirs.crop_size[0], theirs.resize_size[0], theirs.interpolation.value)
    assert published_preparation(f"torchvision/{name}") == expected


@pytest.mark.parametrize("name", ["vit_base_patch16_224", "resnet50", "mobilenetv3_small_050"])
@pytest.mark.parametrize("size", [None, 160])
def test_timms_are_prepared_as_its_own_transform(name, size):
    config = timm.get_pretrained_cfg(name)
    side = size or config.input_size[-1]
    resize, crop, *_ = timm.data.create_transform(
        (3, side, side), interpolation=config.interpolation, crop_pct=config.crop_pct
    ).transforms
    assert isinstance(resize, Resize) and isinstance(crop, CenterCrop)
    expected = Preparation(crop.size[0], resize.size, resize.interpolation.value)
    assert published_preparation(f"timm/{name}", size) == expected


def test_nothing_is_published_of_others():
    assert published_preparation("convnet") is None
    assert published_preparation("mine:Net") is None
    assert published_preparation("deeplabv3/resnet18") is None


def test_what_is_said_is_done_else_what_the_weights_say_the_teachers_first():
    config = Config()
    assert preparation(config) == Preparation(224, None, "bilinear")
    student = replace(config, student__name="timm/vit_tiny_patch16_224", student__pretrained=True)
    assert preparation(student) == Preparation(224, 248, "bicubic")
    both = replace(student, teacher__name="resnet50", teacher__pretrained=True)
    assert preparation(both) == Preparation(224, 232, "bilinear")
    assert preparation(replace(both, distillation__teacher=False)) == Preparation(224, 248, "bicubic")
    said = replace(both, data__resize=240, data__interpolation="bicubic", data__image_size=192)
    assert preparation(said) == Preparation(192, 240, "bicubic")
    checkpoint = replace(config, teacher__name="resnet50", teacher__checkpoint="some.pth")
    assert preparation(checkpoint) == Preparation(224, None, "bilinear")  # of weights of unknown origin
