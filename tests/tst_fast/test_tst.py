"""`TST` in a loop of one's own does what the formulas of the method say, and what a run does."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.tst_fast.processes import output_of_ranks
from tst_fast import TST, __version__
from tst_fast.errors import UserError
from tst_fast.policy.dither import dithered
from tst_fast.policy.file import PolicyFile
from tst_kernels import mix, normalise

MEAN, STD = (0.5, 0.4, 0.45), (0.25, 0.2, 0.3)


def _network(seed, classes=5):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, classes),
    )


def _data(count=6):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 12, 16, 3), dtype=torch.uint8, generator=generator)
    return images, torch.randint(0, 5, (count,), generator=generator)


@pytest.fixture
def tst():
    return TST(_network(0), _network(1), mean=MEAN, std=STD, alpha=0.7, tau=2.0, learning_rate=0.5)


def test_the_students_loss_is_the_methods(tst):
    """Half on the augmented images, half on the plain ones: cross-entropy and the tempered divergence of each."""
    images, labels = _data()
    tst.student.eval()  # so that both halves may be asked apart
    torch.manual_seed(3)
    found = tst.loss(images, labels)
    torch.manual_seed(3)
    expected = 0.0
    for half in (tst.augment(images), tst.normalise(images)):
        student, teacher = tst.student(half), tst.teacher(half).detach()
        p, q = (logits.div(2).log_softmax(1) for logits in (teacher, student))
        expected += (F.cross_entropy(student, labels) + 0.7 * 4 * (p.exp() * (p - q)).sum(1).mean()) / 2
    torch.testing.assert_close(found, expected)
    found.backward()
    assert all(parameter.grad is not None for parameter in tst.student.parameters())
    assert all(parameter.grad is None for parameter in tst.teacher.parameters())


def test_a_search_step_is_gradient_descent_on_the_objective(tst):
    images, labels = _data()
    before = {name: values.detach().clone() for name, values in tst.policy.named_parameters()}
    torch.manual_seed(3)
    found = tst.search(images, labels)
    moved = {name: values.detach().clone() for name, values in tst.policy.named_parameters()}
    for name, values in tst.policy.named_parameters():
        values.data.copy_(before[name])
    torch.manual_seed(3)
    draw = tst.policy.draw(len(images), straight_through=True)
    draw = dithered(draw, 12, 16)
    augmented = mix(images, draw, MEAN, STD)
    networks = [network.eval() for network in (tst.teacher, tst.student)]
    p, q = (network(augmented).softmax(1).gather(1, labels[:, None]) for network in networks)
    objective = -p.log().mean() - (1 - q + 1e-6).log().mean()
    gradients = torch.autograd.grad(objective, list(tst.policy.parameters()))
    torch.testing.assert_close(found["loss"], objective.detach())
    assert found["teacher_confidence"].item() == pytest.approx(p.mean().item(), rel=1e-5)
    for (name, values), gradient in zip(before.items(), gradients, strict=True):
        torch.testing.assert_close(moved[name], values - 0.5 * gradient, msg=name)


def test_images_in_floats_are_those_in_bytes(tst):
    images, labels = _data()
    floats = images.permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(tst.normalise(floats), normalise(images, MEAN, STD))
    with pytest.raises(UserError, match=r"images are torch.float32 \[6, 12, 16\]"):
        tst.loss(floats[:, 0], labels)
    for wrong, found in ((floats / 0.2 - 2, "-2..3"), (floats * 255, "0..255"), (floats * torch.nan, "nan..nan")):
        with pytest.raises(UserError, match=f"images are in {found}: give them in 0..1, before they are normalised"):
            tst.augment(wrong)
    with pytest.raises(UserError, match="6 images and 5 labels"):
        tst.search(images, labels[:5])
    with torch.no_grad(), pytest.raises(UserError, match=r"call it outside torch.no_grad\(\)"):
        tst.search(images, labels)


def test_the_callers_modes_gradients_and_wrappers_stay_the_callers(tst):
    images, labels = _data()
    seen = []
    tst.student.train()
    statistics = tst.student[1].running_mean.clone()
    tst.search(images, labels)
    assert tst.student.training and not tst.teacher.training
    assert torch.equal(tst.student[1].running_mean, statistics)
    assert all(parameter.requires_grad for parameter in tst.teacher.parameters())
    wrapper = nn.Sequential(tst.student)
    wrapper.register_forward_hook(lambda *args: seen.append(len(args[1][0])))
    tst.loss(images, labels, wrapper)
    assert seen == [12]


def test_a_teacher_that_was_put_in_train_mode_still_teaches_as_it_was_trained(tst):
    """As a part of a module whose train() the loop calls."""
    images, labels = _data()
    statistics = tst.teacher[1].running_mean.clone()
    torch.manual_seed(3)
    expected = tst.loss(images, labels)
    nn.ModuleList([tst.teacher, tst.student]).train()
    torch.manual_seed(3)
    assert torch.equal(tst.loss(images, labels), expected)
    assert torch.equal(tst.teacher[1].running_mean, statistics)


def test_it_goes_on_from_its_state(tst, tmp_path):
    images, labels = _data()
    tst.search(images, labels)
    other = TST(_network(0), _network(1), mean=MEAN, std=STD, learning_rate=0.5)
    other.load_state_dict(copy.deepcopy(tst.state_dict()))
    for one in (tst, other):
        torch.manual_seed(5)
        one.search(images, labels)
    assert tst.policy.learned() == other.policy.learned()
    turned = TST(_network(0), _network(1), operations=tst.config.policy.operations[::-1])
    with pytest.raises(UserError, match=r"the state is of the operations ShearX, .*, in this order"):
        turned.load_state_dict(tst.state_dict())
    tst.write_policy(tmp_path / "policy.json")
    written = PolicyFile.read(tmp_path / "policy.json")
    assert written.operations == tst.policy.learned()
    assert written.provenance == {
        "program": f"tst-fast {__version__}",
        "teacher": {"name": "Sequential"},
        "student": {"name": "Sequential"},
    }


def test_a_state_of_something_else(tst):
    with pytest.raises(UserError, match=r"the state has no policy, .*, operations: give what `state_dict` of a `TST`"):
        tst.load_state_dict(_network(0).state_dict())
    with pytest.raises(UserError, match="the state has no budget: give"):
        tst.load_state_dict({name: value for name, value in tst.state_dict().items() if name != "budget"})


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda tst: pickle.loads(pickle.dumps(tst))])
def test_a_copy_goes_on_by_itself(tst, copied):
    images, labels = _data()
    tst.search(images, labels)
    other, before = copied(tst), tst.policy.learned()
    torch.manual_seed(5)
    other.search(images, labels)
    assert tst.policy.learned() == before
    torch.manual_seed(5)
    tst.search(images, labels)
    assert tst.policy.learned() == other.policy.learned()
    losses = []
    for one in (tst, other):
        torch.manual_seed(6)
        losses.append(one.loss(images, labels))
    assert torch.equal(*losses)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"operations": ["Rotate", "Twirl"]}, "--policy.operations: .*Twirl"),
        ({"operations_per_image": 15}, "--policy.operations_per_image is 15"),
        ({"tau": 0.0}, "--loss.tau is 0.0"),
        ({"std": (1, 0, 1)}, "--data.std"),
        ({"mean": 0.5}, "--data.mean is 0.5: it must be a list of 3 numbers"),
        ({"std": (0.5, 0.5)}, r"--data.std is \(0.5, 0.5\): it must be a list of 3 numbers"),
        ({"mean": torch.zeros(4)}, "--data.mean is .*: it must be a list of 3 numbers"),
        ({"operations_per_image": 2.0}, "--policy.operations_per_image is 2.0: it must be a whole number"),
        ({"learning_rate": "0.1"}, "--policy.learning_rate is '0.1': it must be a number"),
        ({"teacher": nn.Flatten()}, "the teacher has no parameters"),
        ({"student": nn.Flatten()}, "the student has no parameters"),
        ({"student": _network(1).to("meta")}, "the teacher is on cpu, the student on meta: move both"),
    ],
)
def test_values_that_cannot_work(settings, message):
    with pytest.raises(UserError, match=message):
        TST(**{"teacher": _network(0), "student": _network(1), **settings})


def test_means_may_be_an_array():
    data = TST(_network(0), _network(1), mean=torch.tensor(MEAN), std=np.array(STD)).config.data
    assert (data.mean, data.std) == (pytest.approx(MEAN), STD)


class _Giving(nn.Module):
    """A network that puts out what a function makes of its logits, while it learns or else."""

    def __init__(self, change, training=False):
        super().__init__()
        self.network, self.change, self.only_in = _network(1), change, training

    def forward(self, images):
        logits = self.network(images)
        return self.change(logits) if self.training == self.only_in else logits


@pytest.mark.parametrize("call", ["search", "loss"])
@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ({"student": _network(1, 7)}, "the teacher knows 5 classes and the student 7: give networks of the same"),
        (
            {"student": _Giving(lambda y: {"logits": y})},
            r"the student must put out .* got a dict: wrap it",
        ),
        (
            {"teacher": _Giving(lambda y: (y, y))},
            r"the teacher must put out .* got a tuple",
        ),
        ({"teacher": _Giving(lambda y: y[:, :, None])}, r"logits \[2, any\] for 2 images, got a tensor \[2, 5, 1\]"),
        ({"teacher": _network(0, 1), "student": _network(1, 1), "loss": "dkd"}, "dkd .* there is one class"),
    ],
)
def test_networks_that_do_not_give_logits_of_the_same_classes(call, networks, message):
    tst = TST(**{"teacher": _network(0), "student": _network(1), **networks})
    tst.student.train()
    with pytest.raises(UserError, match=message):
        getattr(tst, call)(*_data())
    assert tst.student.training and all(parameter.requires_grad for parameter in tst.student.parameters())


def test_a_network_that_gives_more_while_it_learns():
    tst = TST(_network(0), _Giving(lambda y: (y, y), training=True))
    tst.search(*_data())
    tst.student.train()
    with pytest.raises(UserError, match=r"the student must put out logits \[12, any\] for 12 images, got a tuple"):
        tst.loss(*_data())


LABELS = {
    "too high": (lambda y: y + 3, r"labels are in 3\.\.7: the networks know the classes 0\.\.4"),
    "below 0": (lambda y: y - 100, r"labels are in -100\.\.-96"),
    "of 32 bits": (lambda y: y.int(), r"labels are torch.int32 \[6\]: give int64 \[B\], or floating \[B, 5\]"),
    "floating": (lambda y: y.float(), r"labels are torch.float32 \[6\]: give"),
    "a column": (lambda y: y[:, None], r"labels are torch.int64 \[6, 1\]: give"),
    "of other classes": (lambda y: F.one_hot(y, 7).float(), r"labels are torch.float32 \[6, 7\]: give"),
    "counts": (lambda y: 2.0 * F.one_hot(y, 5), "floating labels are no probabilities"),
    "an array": (lambda y: y.numpy(), "labels are of type ndarray"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_are_none(kind, tst):
    images, labels = _data()
    labels[0], labels[1] = 0, 4
    change, message = LABELS[kind]
    for call in (tst.search, tst.loss):
        with pytest.raises(UserError, match=message):
            call(images, change(labels))
    with pytest.raises(UserError, match="images are of type ndarray: give"):
        tst.augment(images.numpy())


def test_the_policy_stays_the_same_in_several_processes():
    output_of_ranks([str(Path(__file__).with_name("loop_of_two_processes.py"))])


def test_the_example(tmp_path):
    example = Path(__file__).parents[2] / "examples/plain_loop.py"
    shortened = (
        example.read_text()
        .replace("learn(teacher, 30", "learn(teacher, 1")
        .replace("learn(student, 30", "learn(student, 1")
    )
    (tmp_path / "loop.py").write_text(shortened)
    printed = subprocess.run([sys.executable, tmp_path / "loop.py"], capture_output=True, text=True, check=True).stdout
    assert "student: " in printed and "'Rotate': 0." in printed
