"""Published networks load by their own names, and give the logits that they gave; values are random."""

import pytest
import torch

from tests.tst_fast.models.segmentation.published_networks import Parameters, cirkd, mmsegmentation_pspnet
from tst_fast.errors import UserError
from tst_fast.models import load_weights, save_weights
from tst_fast.models.segmentation import build_segmenter

CLASSES = 7
DEEP = {"stem_type": "deep", "stem_width": 64}
R18, R50 = {"blocks": (2, 2, 2, 2), "bottleneck": False}, {"blocks": (3, 4, 6, 3), "bottleneck": True}
PUBLISHED = {
    "CIRKD's student": (cirkd, {"context": "aspp", "width": 128, **R18}, "deeplabv3/resnet18", {"encoder": DEEP}),
    "CIRKD's teacher": (cirkd, {"context": "aspp", "width": 256, **R50}, "deeplabv3/resnet50s", {}),
    "CIRKD's wider": (
        cirkd,
        {"context": "aspp", "width": 512, **R18},
        "deeplabv3/resnet18",
        {"encoder": DEEP, "width": 512},
    ),
    "CIRKD's PSPNet": (cirkd, {"context": "psp", "width": 128, **R18}, "pspnet/resnet18", {"encoder": DEEP}),
    "mmsegmentation": (mmsegmentation_pspnet, R50, "pspnet/resnet50c", {"align_corners": False}),
}


@pytest.fixture
def images():
    return torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("published", PUBLISHED)
def test_published_networks_load_and_give_their_logits(published, images, tmp_path):
    reference, settings, name, arguments = PUBLISHED[published]
    parameters = Parameters()
    expected = reference(parameters, images, CLASSES, **settings)
    torch.save({"state_dict": parameters.state}, tmp_path / "published.pth")
    network = build_segmenter(name, CLASSES, {"align_corners": True, **arguments})
    load_weights(network, tmp_path / "published.pth", "teacher")
    with torch.no_grad():
        output = network.eval()(images)
    torch.testing.assert_close(output.logits, expected[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output.auxiliary, expected[1], rtol=1e-4, atol=1e-4)


def test_what_is_saved_has_no_auxiliary_head_and_none_is_made_up_for_it(images, tmp_path):
    arguments = {"encoder": DEEP}
    network = build_segmenter("pspnet/resnet18", CLASSES, arguments).eval()
    save_weights(network.without_auxiliary(), tmp_path / "own.safetensors", "pspnet/resnet18", "abc")
    again = build_segmenter("pspnet/resnet18", CLASSES, arguments)
    load_weights(again, tmp_path / "own.safetensors", "teacher")
    with torch.no_grad():
        output = again.eval()(images)
        assert torch.equal(output.logits, network(images).logits)
    assert output.auxiliary is None, "a random one must not teach"


def test_mmsegmentations_resnet18_is_refused(images, tmp_path):
    parameters = Parameters()
    mmsegmentation_pspnet(parameters, images, CLASSES, **R18)
    torch.save({"state_dict": parameters.state}, tmp_path / "published.pth")
    network = build_segmenter("pspnet/resnet18", CLASSES, {"encoder": {"stem_type": "deep", "stem_width": 32}})
    with pytest.raises(UserError, match="ResNet-18 and -34 dilate other convolutions"):
        load_weights(network, tmp_path / "published.pth", "teacher")


def test_what_is_not_known_is_listed(images, tmp_path):
    parameters = Parameters()
    cirkd(parameters, images, CLASSES, "psp", width=128, **R18)
    parameters.state["head.psp.conv9.0.weight"] = torch.zeros(1)
    torch.save(parameters.state, tmp_path / "published.pth")
    network = build_segmenter("pspnet/resnet18", CLASSES + 1, {"encoder": DEEP})
    message = r"1 unexpected \(head.psp.conv9.0.weight\); 4 of another shape \(head.2.weight is \[7, 128, 1, 1\]"
    with pytest.raises(UserError, match=message):
        load_weights(network, tmp_path / "published.pth", "teacher")
