"""Published weights: a body whole under a new last layer, as timm knows its own, and never unpickled."""

import pickle

import pytest
import timm
import torch
import torchvision
from torchvision.models import _api

from tst_fast.errors import UserError
from tst_fast.models import build_model, load_weights, save_weights
from tst_fast.models.detection import build_detector
from tst_fast.models.segmentation import build_segmenter


@pytest.fixture
def downloads(monkeypatch):
    """In place of the Internet: by name, the state dict that torchvision fetches; and how it was asked for."""
    files, asked = {}, []

    def fetched(url, *_, weights_only=False, **__):
        asked.append(weights_only)
        return files["weights"]

    monkeypatch.setattr(_api, "load_state_dict_from_url", fetched)
    return files, asked


HEADS = {
    "mobilenet_v3_small": {"classifier.3.weight", "classifier.3.bias"},
    "squeezenet1_1": {"classifier.1.weight", "classifier.1.bias"},  # a convolution
    "googlenet": {"fc.weight", "fc.bias"},  # whose auxiliary heads are published too
}


@pytest.mark.parametrize("name", HEADS)
def test_a_body_of_torchvisions_comes_whole_and_its_head_is_new(name, downloads):
    heads = {"init_weights": False} if name == "googlenet" else {}
    published = torchvision.models.get_model(name, weights=None, **heads)
    for value in published.parameters():
        torch.nn.init.constant_(value, 0.25)
    downloads[0]["weights"] = published.state_dict()
    torch.manual_seed(0)
    network = build_model(name, 7, {}, pretrained=True, new_head=True)
    new = {key for key, value in network.named_parameters() if not (value == 0.25).all()}
    assert new == HEADS[name]
    assert network.eval()(torch.rand(1, 3, 64, 64)).shape == (1, 7)
    assert downloads[1][0] is True  # read as weights alone before torchvision reads it
    assert build_model(name, 1000, {}, pretrained=True)(torch.rand(2, 3, 64, 64)).shape == (2, 1000)


def test_arguments_that_published_weights_are_not_for_are_refused(downloads):
    downloads[0]["weights"] = {}
    with pytest.raises(UserError, match=r"weights of inception_v3 do not go with the arguments .*aux_logits"):
        build_model("inception_v3", 1000, {"aux_logits": False}, pretrained=True)


def test_a_body_of_timms_comes_whole_and_its_head_is_new(monkeypatch):
    published = timm.create_model("mobilenetv3_small_050").state_dict()
    asked = {}

    def fetched(model_id, **options):
        asked.update(options)
        return dict(published)

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", fetched)
    network = build_model("timm/mobilenetv3_small_050", 7, {}, pretrained=True, new_head=True)
    differing = {key for key, value in network.state_dict().items() if not torch.equal(value, published[key])}
    assert differing == {"classifier.weight", "classifier.bias"}
    assert network.num_classes == 7 and asked["weights_only"] is True


def test_without_training_other_classes_are_refused(downloads):
    downloads[0]["weights"] = {}
    for make in (
        lambda: build_model("mobilenet_v3_small", 7, {}, pretrained=True),
        lambda: build_segmenter("torchvision/lraspp_mobilenet_v3_large", 5, {}, pretrained=True),
        lambda: build_detector("fcos_resnet50_fpn", ["cat", "dog"], {}, pretrained=True),
    ):
        with pytest.raises(UserError, match=r"classes and the data has \d: give --teacher.fine_tune true"):
            make()


def test_dense_networks_get_new_heads_too(downloads):
    segmenter = torchvision.models.get_model("lraspp_mobilenet_v3_large", weights=None, weights_backbone=None)
    downloads[0]["weights"] = segmenter.state_dict()
    network = build_segmenter("torchvision/lraspp_mobilenet_v3_large", 5, {}, pretrained=True, new_head=True)
    new = [key for key, value in network.state_dict().items() if value.shape != segmenter.state_dict()[key].shape]
    assert new == [f"classifier.{part}_classifier.{kind}" for part in ("low", "high") for kind in ("weight", "bias")]
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    published = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=91)
    downloads[0]["weights"] = published.state_dict()
    detector = build_detector(name, ["cat", "dog"], {}, pretrained=True, new_head=True).eval()
    state = published.state_dict()
    for key, value in detector.state_dict().items():
        assert "box_predictor" in key or torch.equal(value, state[key]), key
    assert detector(torch.zeros(1, 3, 64, 64)).regions([torch.tensor([[0.0, 0, 32, 32]])])[0].shape == (1, 3)


@pytest.mark.parametrize(
    "name",
    ["fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn", "fcos_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn"],
)
def test_what_began_from_frozen_norms_is_the_same_from_its_file(name, downloads, tmp_path):
    """torchvision freezes norms under the weights that it publishes, some with an epsilon of its own."""
    published = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=91).state_dict()
    counts = {key for key in published if key.endswith("num_batches_tracked")}
    downloads[0]["weights"] = {key: value for key, value in published.items() if key not in counts}
    begun = build_detector(name, ["cat", "dog"], {}, pretrained=True, new_head=True).eval()
    save_weights(begun, tmp_path / "student.safetensors", name, ["cat", "dog"])
    again = build_detector(name, ["cat", "dog"], {})
    load_weights(again, tmp_path / "student.safetensors", "student")
    assert [key for key, _ in again.named_parameters()] == [key for key, _ in begun.named_parameters()]
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for found, expected in zip(again.eval().backbone(images).values(), begun.backbone(images).values(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


TINY_VIT = {"depth": 1, "embed_dim": 16, "num_heads": 2}


def test_a_file_that_timm_remaps_is_loaded(tmp_path):
    """A vision transformer's, whose first layer was linear, for images of another size."""
    torch.manual_seed(0)
    name, small = "timm/vit_tiny_patch16_224", {**TINY_VIT, "img_size": 64}
    before = build_model(name, 10, small).eval()
    state = before.state_dict()
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].flatten(1)
    torch.save({"model": state}, tmp_path / "vit.pth")
    after = build_model(name, 10, small).eval()
    load_weights(after, tmp_path / "vit.pth", "teacher")
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(after(images), before(images), atol=0, rtol=0)
    larger = build_model(name, 10, {**TINY_VIT, "img_size": 96}).eval()
    load_weights(larger, tmp_path / "vit.pth", "teacher")
    assert larger.pos_embed.shape == (1, 37, 16)
    torch.testing.assert_close(larger.blocks.state_dict(), before.blocks.state_dict(), atol=0, rtol=0)
    with pytest.raises(UserError, match="of another shape"):
        load_weights(build_model(name, 9, small), tmp_path / "vit.pth", "teacher")


class Bomb:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_no_file_of_timms_is_unpickled(tmp_path, capsys):
    torch.save({"model": {}, "bomb": Bomb()}, tmp_path / "vit.pth", pickle_module=pickle)
    with pytest.raises(UserError, match="making these can run any code"):
        load_weights(build_model("timm/mobilenetv3_small_050", 10, {}), tmp_path / "vit.pth", "teacher")
    assert capsys.readouterr().out == ""
