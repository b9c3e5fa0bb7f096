"""Segmentation networks by name: the logits of their sources, strides, auxiliary heads, and names that are refused."""

import copy
import sys

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
import torchvision

from tst_fast.errors import UserError
from tst_fast.models.segmentation import SegmentationOutput, build_segmenter

CLASSES = 5


def _images(height=64, width=96, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def _same_weights(network, model):
    """Give `model`'s random weights, its batch-norm statistics included, to `network`: the names are the same."""
    generator = torch.Generator().manual_seed(1)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            spread = torch.rand(value.shape, generator=generator) - (0 if name.endswith("running_var") else 0.5)
            value.copy_(spread + 0.1 if name.endswith("running_var") else 0.2 * spread)
    network.load_state_dict(model.state_dict())
    return network.eval(), model.eval()


@pytest.mark.parametrize("name", ["fcn_resnet50", "lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_torchvisions_logits_are_those_that_it_resizes(name):
    images = _images()
    heads = {} if "lraspp" in name else {"aux_loss": True}
    model = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=CLASSES, **heads)
    network, model = _same_weights(build_segmenter(f"torchvision/{name}", CLASSES, {}), model)
    with torch.no_grad():
        output, expected = network(images), model(images)
    assert output.logits.shape[2:] == (64 // network.stride, 96 // network.stride)
    torch.testing.assert_close(output.resized(output.logits, (64, 96)), expected["out"])
    if heads:
        torch.testing.assert_close(output.resized(output.auxiliary, (64, 96)), expected["aux"])


@pytest.mark.parametrize(("name", "stride", "multiple"), [("PSPNet", 8, 8), ("Unet", 1, 32), ("Segformer", 4, 32)])
def test_smps_logits_are_those_that_it_resizes(name, stride, multiple):
    arguments = {"encoder_name": "resnet18", "encoder_weights": None}
    model = smp.create_model(name, **arguments, classes=CLASSES)
    network, model = _same_weights(build_segmenter(f"smp/{name}", CLASSES, arguments), model)
    with torch.no_grad():
        output, expected = network(_images()), model(_images())
    assert (network.stride, network.multiple) == (stride, multiple)
    torch.testing.assert_close(output.resized(output.logits, (64, 96)), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match=f"50x96 pixels: both sides must be multiples of {multiple}"):
        network(_images(height=50))


@pytest.mark.parametrize(
    "name", ["deeplabv3/resnet18", "pspnet/mobilenetv2_100", "deeplabv3/convnext_atto", "pspnet/regnetx_002"]
)
def test_any_encoder_of_timms_at_stride_8(name):
    network = build_segmenter(name, CLASSES, {})
    output = network(_images(count=3))
    assert output.logits.shape == output.auxiliary.shape == (3, CLASSES, 8, 12)
    (output.logits.sum() + output.auxiliary.sum()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network.stride == network.multiple == 8


@pytest.mark.parametrize(
    ("name", "head"),
    [("deeplabv3/resnet18", "auxiliary"), ("torchvision/deeplabv3_mobilenet_v3_large", "aux_classifier")],
)
def test_what_is_kept_shares_all_but_the_auxiliary_head(name, head):
    learner = build_segmenter(name, CLASSES, {})
    kept = learner.without_auxiliary()
    named = {key: value for key, value in learner.state_dict().items() if not key.startswith(head)}
    assert kept.state_dict().keys() == named.keys() != learner.state_dict().keys()
    kept.eval()
    with torch.no_grad():
        before = kept(_images()).logits
        for parameter in learner.parameters():
            parameter.mul_(0.9)
        after = kept(_images())
    assert after.auxiliary is None and not torch.equal(after.logits, before)
    average = copy.deepcopy(kept).eval()
    assert torch.equal(average(_images()).logits, after.logits), "as a moving average begins"
    assert learner.eval()(_images()).auxiliary is not None
    bare = build_segmenter(name, CLASSES, {"auxiliary": False})
    assert bare.state_dict().keys() == named.keys()


def test_the_dilated_student_has_33_thousand_weights_and_sees_the_whole_image():
    student = build_segmenter("dilated", 11, {"channels": [8, 12, 16, 24]})
    assert round(sum(p.numel() for p in student.parameters()), -3) == 33_000
    images = _images().requires_grad_()
    logits = student.eval()(images).logits
    assert logits.shape == (2, 11, 16, 24)
    logits[:, :, 0, 0].sum().backward()
    assert images.grad[:, :, -1, -1].abs().min() > 0


def test_the_dilated_network_learns_in_channels_last():
    """torch 2.14's gradient of a 1x1 convolution of 8 channels with a stride ends the process there."""
    student = build_segmenter("dilated", 11, {"channels": [8, 12, 16, 24]}).to(memory_format=torch.channels_last)
    images = _images(48, 64, 8).to(memory_format=torch.channels_last)
    student(images).logits.square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in student.parameters())


def test_outputs_split_and_resize():
    logits, auxiliary = torch.randn(2, 4, CLASSES, 6, 8)
    output = SegmentationOutput(logits.bfloat16(), auxiliary.double(), align_corners=True)
    first, second = output.split(2)
    assert torch.equal(second.logits, output.logits[2:]) and torch.equal(first.auxiliary, output.auxiliary[:2])
    assert first.align_corners
    expected = F.interpolate(auxiliary.double(), (48, 64), mode="bilinear", align_corners=True)
    assert torch.equal(output.resized(output.auxiliary, (48, 64)), expected)
    assert output.resized(output.logits, (6, 8)).dtype == torch.float32
    assert [half.auxiliary for half in SegmentationOutput(logits).split(2)] == [None, None]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("dilate", {}, "did you mean 'dilated'"),
        ("deeplabv3", {}, "no segmentation network 'deeplabv3'"),
        ("deeplabv3/resnet81", {}, "no model 'resnet81' for an encoder; did you mean 'resnet"),
        ("pspnet/vit_tiny_patch16_224", {}, "cannot be an encoder of stride 8 .*output_stride.*convolutional network"),
        ("pspnet/vgg11", {}, r"cannot be an encoder of stride 8 \(AssertionError\)"),
        ("deeplabv3/resnet18", {"rates": [1]}, "does not take the arguments {'rates'"),
        ("torchvision/deeplab_resnet50", {}, "did you mean 'deeplabv3_resnet50'"),
        ("torchvision/lraspp_mobilenet_v3_large", {"aux_loss": True}, "does not take the arguments {'aux_loss'"),
        ("smp/Nothing", {}, "cannot make 'Nothing'"),
        ("smp/DPT", {"encoder_name": "tu-vit_tiny_patch16_224"}, "a forward pass of its own"),
    ],
)
def test_what_cannot_be_made_is_refused(name, arguments, message):
    with pytest.raises(UserError, match=message):
        build_segmenter(name, CLASSES, arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("deeplabv3/resnet18", {"encoder": {"pretrained": True}}),
        ("torchvision/fcn_resnet50", {"weights_backbone": "DEFAULT"}),
        ("smp/Unet", {"encoder_weights": "imagenet"}),
    ],
)
def test_weights_of_encoders_that_cannot_be_had(name, arguments, no_internet):
    with pytest.raises(UserError, match=r"published weights of .* could not be downloaded .*or give a checkpoint"):
        build_segmenter(name, CLASSES, arguments)


def test_pretrained_is_for_whole_networks_of_the_same_classes():
    with pytest.raises(UserError, match=r"for an encoder's weights, the arguments {encoder: {pretrained: true}}"):
        build_segmenter("deeplabv3/resnet18", CLASSES, {}, pretrained=True)
    with pytest.raises(UserError, match=r"fcn_resnet50 are for 21 classes and the data has 5"):
        build_segmenter("torchvision/fcn_resnet50", CLASSES, {}, pretrained=True)


def test_smp_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(UserError, match=r"pip install 'tst-fast\[smp\]'"):
        build_segmenter("smp/PSPNet", CLASSES, {})
