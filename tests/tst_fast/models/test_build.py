"""Networks by name, from three sources."""

import sys

import pytest
import timm
import torch
import torchvision

from tst_fast.errors import UserError
from tst_fast.models import build_model
from tst_fast.models.cifar.vgg import VGG


def _names(network):
    return {name: value.shape for name, value in network.state_dict().items()}


def test_a_plain_name_is_ours_else_torchvisions_else_timms():
    assert isinstance(build_model("vgg13", 10, {}), VGG)
    assert type(build_model("squeezenet1_1", 10, {})) is type(torchvision.models.squeezenet1_1())
    assert _names(build_model("mobilenetv1_100", 7, {})) == _names(timm.create_model("mobilenetv1_100", num_classes=7))


def test_a_source_before_the_name_decides():
    assert isinstance(build_model("cifar/vgg8", 10, {}), VGG)
    assert isinstance(build_model("torchvision/resnet18", 10, {}), torchvision.models.ResNet)
    assert isinstance(build_model("timm/resnet18", 10, {}), timm.models.ResNet)


def test_arguments_reach_the_constructor():
    with torch.device("meta"):
        assert build_model("timm/resnet18", 10, {"drop_rate": 0.3}).drop_rate == 0.3


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("wrn_40_3", {}, r"no model 'wrn_40_3'; did you mean 'wrn_40_"),
        ("tim/resnet18", {}, r"no source 'tim'; did you mean 'timm'"),
        ("timm/resnet19", {}, r"no model 'timm/resnet19'; did you mean 'timm/resnet1"),
        ("cifar/resnet18", {}, r"no model 'cifar/resnet18'; did you mean 'cifar/resnet"),
        ("resnet20", {"depht": 3}, r"resnet20 does not take the arguments .*depht"),
        ("timm/resnet18.tv_in2k", {}, r"resnet18.tv_in2k cannot be made with .*Invalid pretrained tag \(tv_in2k\)"),
        ("resnet18", {"replace_stride_with_dilation": [1]}, r"cannot be made with the arguments .*3-element tuple"),
    ],
)
def test_refuses(name, arguments, message):
    with pytest.raises(UserError, match=message):
        build_model(name, 10, arguments)


@pytest.mark.parametrize(
    ("name", "classes", "message"),
    [
        ("resnet20", 10, "no pretrained weights of resnet20"),
        ("resnet18", 10, "weights of resnet18 are for 1000 classes and the data has 10"),
        ("timm/resnet18", 10, "weights of resnet18 are for 1000 classes and the data has 10"),
        ("timm/coatnet_0_224", 1000, "timm publishes no weights of coatnet_0_224: give a checkpoint"),
        ("resnet18", 1000, "could not be downloaded .*fetch them where there is internet"),
        ("timm/resnet18", 1000, "could not be downloaded .*fetch them where there is internet"),
    ],
)
def test_pretrained_weights_that_cannot_be_had(name, classes, message, no_internet):
    with pytest.raises(UserError, match=message):
        build_model(name, classes, {}, pretrained=True)


def test_timm_is_imported_only_for_its_own_models(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # importing it would fail
    build_model("resnet20", 10, {})
    build_model("squeezenet1_1", 10, {})
    with pytest.raises(ImportError):
        build_model("mobilenetv1_100", 10, {})
