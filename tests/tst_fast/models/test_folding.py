"""A frozen network without its batch norms gives what it gave with them, and keeps those that cannot go."""

import copy

import pytest
import torch
from torch import nn

from tst_fast.models import build_model, load_weights
from tst_fast.models.detection.build import fcos
from tst_fast.models.folding import fold_batch_norms
from tst_fast.models.segmentation import build_segmenter

SIZE = (64, 64)
CLASSES = 5


def _norms(network):
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


def _trained(network):
    """The network as if it had been trained: each norm does something."""
    generator = torch.Generator().manual_seed(0)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            drawn = torch.rand(4, norm.num_features, generator=generator) + 0.5
            if norm.track_running_stats:
                norm.running_mean, norm.running_var = drawn[0] - 1, drawn[1]
            norm.weight.data, norm.bias.data = drawn[2], drawn[3] - 1
    return network.double().eval().requires_grad_(False)


def _images():
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    ("make", "left"),
    [
        (lambda: build_model("resnet20", CLASSES, {}), 0),
        (lambda: build_model("wrn_40_2", CLASSES, {}), 18),  # before activations, most norms follow a sum
        (lambda: build_model("torchvision/mobilenet_v3_small", CLASSES, {}), 0),
        (lambda: build_model("torchvision/densenet121", CLASSES, {}), 62),
        (lambda: build_model("timm/efficientnet_b0", CLASSES, {}), 0),  # its norms hold their activations
        (lambda: build_segmenter("deeplabv3/resnet18", CLASSES, {}), 0),
        (lambda: fcos(CLASSES, convs=1), 0),
    ],
    ids=["resnet20", "wrn_40_2", "mobilenet_v3", "densenet121", "efficientnet", "deeplabv3", "fcos"],
)
def test_outputs_and_gradients_to_images_stay(make, left):
    torch.manual_seed(0)
    network, found = _trained(make()), []
    weights = [parameter for parameter in network.parameters() if parameter.dim() == 4]
    for _ in range(2):
        images = _images().requires_grad_()
        output = network(images)
        logits = getattr(output, "logits", output)
        found.append((logits.detach(), *torch.autograd.grad(logits.square().sum(), images)))
        before = _norms(network)
        assert fold_batch_norms(network, SIZE) == before - _norms(network)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * one.abs().max().item())
    assert _norms(network) == left
    assert {id(one) for one in weights} <= {id(one) for one in network.parameters()}
    assert not any(parameter.requires_grad for parameter in network.parameters())


class _Pair(nn.Module):
    """A convolution and a norm, used in a way of one's own."""

    def __init__(self, use, **norm):
        super().__init__()
        self.convolution, self.other = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
        self.norm, self.second = nn.BatchNorm2d(3, **norm), nn.BatchNorm2d(3)
        self.use = use

    def forward(self, images):
        return self.use(self, images)


def _kept_in_a_list(network, images):
    network.seen = [network.convolution(images)]
    return network.norm(network.seen[0])


def _put_out(network, images):
    before = network.convolution(images)
    return before, network.norm(before)


def _used_twice(network, images):
    before = network.convolution(images)
    return network.norm(before) + before


def _two_norms(network, images):
    before = network.convolution(images)
    return network.norm(before) + network.second(before)


def _called_twice(network, images):
    return network.norm(network.convolution(images)) + network.convolution(images)


def _norm_called_twice(network, images):
    return network.norm(network.convolution(images)) + network.norm(network.other(images))


def _changed_between(network, images):
    return network.norm(network.convolution(images).mul_(2))


@pytest.mark.parametrize(
    "use",
    [_kept_in_a_list, _put_out, _used_twice, _two_norms, _called_twice, _norm_called_twice, _changed_between],
    ids=lambda use: use.__name__.strip("_"),
)
def test_what_something_else_needs_stays(use):
    network = _trained(_Pair(use))
    expected = copy.deepcopy(network)(_images())
    assert fold_batch_norms(network, SIZE) == 0
    torch.testing.assert_close(network(_images()), expected, rtol=0, atol=0)


def test_hooked_layers_tied_weights_and_norms_without_statistics_stay():
    def in_turn(network, images):
        return network.norm(network.convolution(images))

    hooked, tied, own = (_trained(_Pair(in_turn, track_running_stats=number < 2)) for number in range(3))
    hooked.norm.register_forward_hook(lambda *_: None)
    tied.other.weight = tied.convolution.weight
    assert [fold_batch_norms(network, SIZE) for network in (hooked, tied, own)] == [0, 0, 0]
    assert fold_batch_norms(_trained(_Pair(in_turn)), SIZE) == 1


@pytest.mark.parametrize("features", [False, True])
def test_a_teacher_is_folded_when_it_has_learned_and_is_saved_whole(tiny_config, make_run, features):
    flags = ["--teacher_training.epochs=1", "--student_training.epochs=1", "--policy.search=none"]
    if features:
        flags.append("--loss.features=[{student: features.1, teacher: features.1}]")
    run = make_run(tiny_config(*flags))
    norms = _norms(run.session.teacher)
    run.run()
    assert norms == 2 and _norms(run.session.teacher) == (2 if features else 0)
    again = build_model("convnet", 10, {"channels": [4, 8]})
    load_weights(again, run.folder / "teacher.safetensors", "teacher")
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(again.eval()(images), run.session.teacher(images), rtol=1e-4, atol=1e-5)
