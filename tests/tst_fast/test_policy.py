"""The policy's draws follow its logits, and its file keeps what it learned."""

import json

import pytest
import torch

from kernels import OPERATIONS
from tst_fast.errors import UserError
from tst_fast.policy import Policy

NAMES = [name for name in OPERATIONS if name != "AutoContrast"]


def _draw(policy, batch, seed=0):
    torch.manual_seed(seed)
    return policy.draw(batch)


def test_starts_at_probability_and_level_one_half():
    rows = Policy(NAMES).learned()
    assert [row.probability for row in rows] == [0.5] * 14
    assert sum(row.level == 0.5 for row in rows) == 11
    assert {row.operation for row in rows if row.level is None} == {"Equalize", "Invert", "Cutout"}


def test_the_sigmoid_of_the_logit_is_the_probability():
    """A gate is above one half exactly with that probability, and nearly always close to 0 or 1."""
    policy = Policy(["Rotate", "Invert"], operations_per_image=2, shared_draw=False)
    with torch.no_grad():
        policy.probability_logits.copy_(torch.tensor([-1.5, 2.0]))
    draw = _draw(policy, 20_000)
    for name, logit in (("Rotate", -1.5), ("Invert", 2.0)):
        gates = draw.gates[draw.operations == OPERATIONS[name].code]
        probability = 1 / (1 + torch.tensor(-logit).exp())
        # Five standard deviations of a proportion of 20,000.
        assert abs((gates > 0.5).float().mean() - probability) < 5 * 0.5 / 20_000**0.5
    assert ((draw.gates < 0.01) | (draw.gates > 0.99)).float().mean() > 0.8


@pytest.mark.parametrize("shared", [True, False])
def test_operations_are_distinct_and_shared_on_request(shared):
    draw = _draw(Policy(NAMES, 4, shared), 64)
    assert draw.operations.shape == (64, 4)
    assert all(len(set(row)) == 4 for row in draw.operations.tolist())
    assert (draw.operations == draw.operations[0]).all() == shared


def test_signs_are_drawn_only_where_an_operation_has_one():
    draw = _draw(Policy(["Rotate", "Solarize"], 2, False), 500)
    rotate = draw.levels[draw.operations == OPERATIONS["Rotate"].code]
    assert {-0.5, 0.5} == set(rotate.tolist())
    assert 150 < (rotate > 0).sum() < 350
    assert {0.5} == set(draw.levels[draw.operations == OPERATIONS["Solarize"].code].tolist())


def test_gradients_reach_every_drawn_logit():
    policy = Policy(["Rotate", "Invert", "Posterize"], 3, False)
    draw = _draw(policy, 256)
    (draw.gates.sum() + draw.levels.abs().sum()).backward()
    assert (policy.probability_logits.grad > 0).all()
    assert (policy.magnitude_logits.grad > 0).all()


def test_a_file_brings_back_what_was_learned(tmp_path):
    policy = Policy(NAMES)
    with torch.no_grad():
        policy.probability_logits.normal_()
        policy.magnitude_logits.normal_()
    policy.save(tmp_path / "policy.json")
    restored = Policy(NAMES[::-1])
    restored.load(tmp_path / "policy.json")
    for before, after in zip(policy.learned(), restored.learned()[::-1], strict=True):
        assert before.operation == after.operation
        assert after.probability == pytest.approx(before.probability, abs=1e-6)
        assert after.level == pytest.approx(before.level, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[0].update(probability=1.2), "the probability of ShearX is 1.2; it must be in 0..1"),
        (lambda rows: rows[4].update(level=-0.1), "the level of Rotate is -0.1"),
        (lambda rows: rows[0].pop("level"), "the level of ShearX is None"),
        (lambda rows: rows.pop(), "missing in the file: Cutout"),
        (lambda rows: rows[0].pop("operation"), "not a readable policy.json"),
    ],
)
def test_refuses_a_wrong_file(tmp_path, change, message):
    file = tmp_path / "policy.json"
    Policy(NAMES).save(file)
    content = json.loads(file.read_text())
    change(content["operations"])
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        Policy(NAMES).load(file)
