"""A network that cannot take the images is refused before anything is trained, and another is left as it was."""

import copy

import pytest
import torch

from tst_fast.config.schema import Config, replace
from tst_fast.errors import UserError
from tst_fast.models import build_model
from tst_fast.run.forward import check_forward, check_training_output

SMALL_VIT = {"embed_dim": 12, "depth": 1, "num_heads": 1}


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("timm/vit_tiny_patch16_224", SMALL_VIT, r"Input height \(32\) doesn't match model \(224\)\. Choose another"),
        ("torchvision/alexnet", {}, r"Choose another size or network"),  # its pooling leaves nothing of 32 px
    ],
)
def test_what_does_not_take_the_images_is_refused_by_its_flag(name, arguments, message):
    config = replace(Config(), data__image_size=32, student__name=name)
    network = build_model(name, 5, arguments)
    with pytest.raises(UserError, match=rf"--student.name {name} .* 32 px \(--data.image_size\): .*{message}"):
        check_forward(network, "student", config, (32, 32))


def test_the_remedy_helps_and_nothing_changes():
    network = build_model("timm/vit_tiny_patch16_224", 5, {**SMALL_VIT, "img_size": 32, "drop_rate": 0.5})
    normed = build_model("resnet20", 5, {})
    for one in (network, normed):
        before, state = copy.deepcopy(one.state_dict()), torch.get_rng_state()
        check_forward(one, "teacher", Config(), (32, 32))
        check_training_output(one, "student", Config(), (32, 32))
        torch.testing.assert_close(one.state_dict(), before, atol=0, rtol=0)
        assert one.training and all(parameter.requires_grad for parameter in one.parameters())
        assert torch.equal(torch.get_rng_state(), state)


def test_of_several_gpus_none_is_asked_but_the_networks_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)  # torch would look at each, and warn
    check_training_output(build_model("resnet20", 5, {}), "student", Config(), (32, 32))


def test_answers_of_auxiliary_classifiers_are_refused_before_anything_is_trained(tiny_config, make_run, steps):
    flags = "--student.name=torchvision/googlenet", "--data.image_size=64"
    with pytest.raises(UserError, match=r"--student.name torchvision/googlenet puts out GoogLeNetOutputs in training"):
        make_run(tiny_config(*flags, "--student.arguments={init_weights: false}"))
    assert not any(steps.values())
    config = tiny_config(*flags, "--student.arguments={aux_logits: false, init_weights: false}")
    assert make_run(config, "without").session.student.training
