"""A network sees what it was trained on, whatever it is given."""

import copy

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from tst_fast.models import ConvNet, load_weights, save_weights
from tst_fast.models.features import WithFeatures
from tst_fast.models.normalised import Normalisation, normalised, published_normalisation
from tst_fast.models.segmentation.published import CIRKD_MEAN, CIRKD_STD
from tst_kernels import normalise

IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIRKD = Normalisation(CIRKD_MEAN, CIRKD_STD, bgr=True)


class Seen(nn.Module):
    """Gives back what it is given."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, images):
        return images * self.factor


@pytest.fixture
def pixels():
    return torch.randint(0, 256, (2, 16, 16, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_caffes_networks_see_blue_first_from_0_to_255_minus_the_mean(pixels):
    expected = pixels.numpy()[..., ::-1].astype("float64") - [104.00698793, 116.66876762, 122.67891434]
    images = normalise(pixels, IMAGENET.mean, IMAGENET.std)
    seen = normalised(Seen(), IMAGENET, CIRKD)(images).permute(0, 2, 3, 1)
    torch.testing.assert_close(seen.double(), torch.from_numpy(expected), rtol=0, atol=1e-4)


def test_other_networks_see_their_own_mean_and_deviation(pixels):
    own = published_normalisation("timm/vit_base_patch16_224")
    assert own == Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    images = torchvision.transforms.functional.normalize(pixels.permute(0, 3, 1, 2) / 255, own.mean, own.std)
    seen = normalised(Seen(), IMAGENET, own)(normalise(pixels, IMAGENET.mean, IMAGENET.std))
    torch.testing.assert_close(seen, images, rtol=0, atol=1e-6)


def test_gradients_reach_the_images(pixels):
    images = normalise(pixels, IMAGENET.mean, IMAGENET.std).requires_grad_()
    normalised(Seen(), IMAGENET, CIRKD)(images)[:, 0].sum().backward()
    assert images.grad[:, :2].eq(0).all() and images.grad[:, 2].allclose(torch.tensor(255 * 0.225))


def test_names_paths_and_files_stay_the_networks_own(pixels, tmp_path):
    images = normalise(pixels, IMAGENET.mean, IMAGENET.std)
    torch.manual_seed(0)
    plain = ConvNet(3, channels=[4, 8]).eval()
    own = normalised(copy.deepcopy(plain), IMAGENET, CIRKD)
    assert own.state_dict().keys() == plain.state_dict().keys()
    save_weights(own, tmp_path / "own.safetensors", "convnet", "ab")
    load_weights(plain, tmp_path / "own.safetensors", "teacher")
    logits = own(images)
    assert not torch.equal(plain(images), logits)
    assert torch.equal(copy.deepcopy(own)(images), logits), "a moving average of it sees the same"
    features = WithFeatures(own, ["features.0"])(images)[1]
    given = F.conv2d((images * own.renormalisation[0] + own.renormalisation[1]).flip(1), *_first(plain), padding=1)
    torch.testing.assert_close(features[0], given)


def _first(network):
    layer = network.features[0]
    return layer.weight, layer.bias


def test_nothing_is_done_where_they_agree():
    network = normalised(Seen(), IMAGENET, published_normalisation("torchvision/deeplabv3_resnet50"))
    assert not network._forward_pre_hooks


def test_metadata_of_published_networks():
    assert published_normalisation("resnet18") == published_normalisation("timm/resnet18") == IMAGENET
    assert published_normalisation("vit_base_patch16_clip_224.openai").mean == (0.48145466, 0.4578275, 0.40821073)
    assert published_normalisation("resnet8x4") is None
    assert published_normalisation("dilated") is None  # a task's own
    assert published_normalisation("fcos_resnet50_fpn") == IMAGENET
