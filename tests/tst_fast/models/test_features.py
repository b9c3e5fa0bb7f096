"""Features by module path: seen without changing the network, and matched through a connector that learns."""

import copy

import pytest
import torch
from torch import nn

from tst_fast.config.schema import FeatureConfig
from tst_fast.errors import UserError
from tst_fast.models import ConvNet, build_model
from tst_fast.models.features import WithFeatures, pair_features

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return build_model("resnet20", 10, {}), build_model("wrn_16_2", 10, {}).eval()


def test_what_is_seen_is_what_the_layers_put_out(networks):
    student, _ = networks
    student.eval()
    logits, (stem, stage) = WithFeatures(student, ["conv1", "layer2"])(IMAGES)
    torch.testing.assert_close(logits, student(IMAGES))
    torch.testing.assert_close(stem, nn.functional.conv2d(IMAGES, student.conv1.weight, padding=1))
    torch.testing.assert_close(stage, student.layer2(student.layer1(student.relu(student.bn1(stem)))))


def test_a_later_layer_that_writes_in_place_changes_no_feature():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(3600, 2))
    _, (feature,) = WithFeatures(network, ["0"])(IMAGES)
    torch.testing.assert_close(feature, network[0](IMAGES))
    assert (feature < 0).any()


def test_connectors_learn_and_the_networks_stay_as_they_were(networks):
    student, teacher = networks
    before = copy.deepcopy(student.state_dict())
    pairs = [
        FeatureConfig("layer1", "block1"),  # 16 to 32 channels
        FeatureConfig("layer2", "block1"),  # the same number
        FeatureConfig("fc", "fc"),  # without sides
    ]
    learner, guide = pair_features(student, teacher, pairs, "mse", (32, 32))
    torch.testing.assert_close(student.state_dict(), before, atol=0, rtol=0)  # batch-norm statistics too
    assert student.training
    assert not teacher.training
    assert [type(connector) for connector in learner.connectors] == [nn.Conv2d, nn.Identity, nn.Identity]
    assert not list(guide.connectors.parameters())
    _, features = learner(IMAGES)
    _, targets = guide(IMAGES)
    assert [feature.shape[:2] for feature in features] == [target.shape[:2] for target in targets]
    sum(feature.square().sum() for feature in features).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in learner.connectors.parameters())
    assert set(student.state_dict()) == set(before)


def test_nothing_is_kept_outside_its_own_forward(networks):
    learner = WithFeatures(networks[0], ["layer1"])
    learner(IMAGES)
    networks[0](IMAGES)
    assert not learner._seen


def test_a_copy_sees_its_own_layers(networks):
    learner = WithFeatures(networks[0].eval(), ["layer1"])
    other = copy.deepcopy(learner)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert other(IMAGES)[1][0].abs().sum() == 0
    assert learner(IMAGES)[1][0].abs().sum() > 0


def test_compiles_to_the_same():
    student, teacher = ConvNet(2, channels=[4]), ConvNet(2, channels=[8])
    learner, _ = pair_features(student, teacher, [FeatureConfig("features.3", "features.3")], "mse", (32, 32))
    compiled = torch.compile(learner, backend="aot_eager", fullgraph=True)
    for got, expected in zip(compiled(IMAGES), learner(IMAGES), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        ("layr1", "block1", "the student has no module 'layr1'; did you mean 'layer1'"),
        ("layer1", "blok1", "the teacher has no module 'blok1'; did you mean 'block"),
        ("layer1", "fc", r"'layer1' of the student, \[1, 16, 32, 32\], with 'fc' of the teacher, \[1, 10\]"),
    ],
)
def test_refuses(networks, student, teacher, message):
    with pytest.raises(UserError, match=message):
        pair_features(*networks, [FeatureConfig(student, teacher)], "mse", (32, 32))


def test_refuses_what_is_no_feature_map(networks):
    teacher = nn.Sequential(nn.Conv2d(3, 4, 32), nn.Flatten(2), nn.Flatten(1))
    with pytest.raises(UserError, match=r"'1' of the teacher puts out \[1, 4, 1\], not \[B, C, H, W\]"):
        pair_features(networks[0], teacher, [FeatureConfig("layer1", "1")], "mse", (32, 32))


def test_comparing_places_needs_some(networks):
    with pytest.raises(UserError, match=r"--loss.feature_loss cwd .* 'fc' of the student, \[1, 10\], has no height"):
        pair_features(*networks, [FeatureConfig("fc", "fc")], "cwd", (32, 32))
