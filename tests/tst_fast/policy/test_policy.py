"""The policy's draws follow its logits, and its file keeps what it learned."""

import json

import pytest
import torch

from tst_fast.errors import UserError
from tst_fast.policy.file import PolicyFile, history_of
from tst_fast.policy.policy import Policy
from tst_kernels import OPERATIONS

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


def test_learned_signs_start_positive_are_never_flipped_and_can_change():
    policy = Policy(["Rotate", "Solarize", "Invert"], 3, False, sign="learned")
    assert policy.levels().tolist() == pytest.approx([0.5, 0.5, 0.0])
    assert not any(row.signed for row in policy.learned())
    optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
    for _ in range(60):  # pulls every level down: through 0 where it has a sign, towards it elsewhere
        optimizer.zero_grad()
        policy.levels().sum().backward()
        optimizer.step()
    rotate, solarize, _ = policy.levels().tolist()
    assert -1 < rotate < -0.99
    assert 0 < solarize < 0.1
    draw = _draw(policy, 100)
    assert {round(rotate, 5)} == {
        round(v, 5) for v in draw.levels[draw.operations == OPERATIONS["Rotate"].code].tolist()
    }
    assert policy.learned()[0].magnitude == pytest.approx(30 * rotate)
    policy.reset()
    assert policy.levels().tolist() == pytest.approx([0.5, 0.5, 0.0])


CODE = "0.05\nraise SystemExit"


def _file(policy, folder, **changes):
    settings = {
        "operations": policy.learned(),
        "operations_per_image": 4,
        "shared_draw": True,
        "composition": "additive",
        "sign": policy.sign,
        "temperature": 0.05,
        "fill": [0.5, 0.5, 0.5],
        "history": history_of([Policy(NAMES, sign=policy.sign).learned(), policy.learned()]),
        "provenance": {"seed": 7},
    }
    file = folder / "policy.json"
    PolicyFile(**(settings | changes)).write(file)
    return file


@pytest.mark.parametrize("sign", ["random", "learned"])
def test_a_file_brings_back_what_was_learned(tmp_path, sign):
    policy = Policy(NAMES, sign=sign)
    with torch.no_grad():
        policy.probability_logits.normal_()
        policy.magnitude_logits.normal_()
    file = _file(policy, tmp_path)
    restored = Policy(NAMES[::-1], sign=sign)
    restored.load(file)
    for before, after in zip(policy.learned(), restored.learned()[::-1], strict=True):
        assert before.operation == after.operation
        assert after.probability == pytest.approx(before.probability, abs=1e-6)
        assert after.level == pytest.approx(before.level, abs=1e-6)
    read = PolicyFile.read(file)
    assert read.operations == policy.learned()
    row = policy.learned()[4]
    assert read.history["Rotate"]["magnitude"] == [15.0, row.magnitude]
    assert read.history["Rotate"]["probability"] == [0.5, row.probability]
    assert set(read.history["Invert"]) == {"probability"}


def test_a_file_with_signs_of_the_other_kind_is_refused(tmp_path):
    file = _file(Policy(NAMES, sign="learned"), tmp_path)
    with pytest.raises(UserError, match=r"has learned signs: give --policy.sign learned"):
        Policy(NAMES).load(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda file: file["operations"][0].update(probability=1.2),
            r"the probability of ShearX is 1.2; it .* in 0..1",
        ),
        (lambda file: file["operations"][4].update(level=-0.1), "the level of Rotate is -0.1"),
        (lambda file: file["operations"][0].update(level=None), "the level of ShearX is None"),
        (lambda file: file["operations"].pop(), "missing in the file: Cutout"),
        (lambda file: file["operations"][0].update(operation="ShearZ"), "unknown operation 'ShearZ'; did you mean"),
        (lambda file: file["operations"][0].pop("operation"), "not a readable policy.json: .*operation"),
        (lambda file: file.update(version=2), "version 2; this program reads tst-fast policy, version 1"),
        (lambda file: file.pop("version"), "not a readable policy.json: 'version' is missing"),
        (lambda file: file.update(composition="other"), "composition is 'other'; it must be additive or sequential"),
        (lambda file: file.update(operations_per_image=15), "operations_per_image is 15; it must be from 1 to the 14"),
        (lambda file: file.update(operations_per_image=True), "operations_per_image is True"),
        (
            lambda file: file.update(temperature=CODE),
            r"temperature is '0.05\\nraise.*; it must be a number in 1e-6..1e6",
        ),
        (lambda file: file.update(temperature=0), "temperature is 0; it must be a number in 1e-6..1e6"),
        (lambda file: file.update(temperature=float("nan")), "NaN is no JSON number"),
        (lambda file: file.update(fill=[0.5, 0.5]), r"fill is \[0.5, 0.5\]; it must be three numbers in 0..1"),
        (lambda file: file.update(fill=[0.5, 0.5, 10**400]), r"fill is \[0.5, 0.5, 10+\.\.\.0+\]; it must be three"),
        (lambda file: file.update(shared_draw=1), "shared_draw is 1; it must be true or false"),
        (lambda file: file.update(operations=[]), r"operations is \[\]; it must be one or more, each once"),
        (lambda file: file["operations"].append(file["operations"][0]), "operations is .*; it must be .* each once"),
        (lambda file: file["operations"].insert(0, "ShearX"), "not a readable policy.json: .*mapping"),
        (lambda file: file["operations"][0].update(operation=CODE), "unknown operation '0.05"),
        (lambda file: file["operations"][0].update(unit="change of factor, 1 + this"), "the unit of ShearX is"),
        (lambda file: file["operations"][0].update(unit=CODE), "the unit of ShearX is '0.05.*; it must be 'tangent'"),
        (lambda file: file["operations"][0].update(signed=CODE), "signed of ShearX is '0.05.*; it must be True"),
        (lambda file: file["operations"][0].update(magnitude=CODE), "the magnitude of ShearX is '0.05"),
        (lambda file: file["operations"][-1].update(level=0.5), "the level of Cutout is 0.5; it must be null"),
        (lambda file: file["history"].update(Rotate={"level": [CODE]}), "history is .*; it must be numbers"),
        (lambda file: file["history"].update({CODE: {}}), "history is .*; it must be numbers for known operations"),
        (lambda file: file.update(provenance=CODE), "provenance is '0.05.*; it must be an object of at most"),
        (lambda file: file["provenance"].update(x="x" * 2**16), "provenance is .*; it must be an object of at most"),
    ],
)
def test_refuses_a_wrong_file(tmp_path, change, message):
    file = _file(Policy(NAMES), tmp_path)
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message) as raised:
        Policy(NAMES).load(file)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", "1", "{", "[" * 100_000, '{"version": ' + "9" * 5000 + "}", "\xff"])
def test_refuses_a_file_that_is_no_policy(tmp_path, text):
    file = tmp_path / "policy.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"policy.json is not a readable policy.json: "):
        PolicyFile.read(file)


def test_refuses_a_file_too_large_to_read(tmp_path):
    file = tmp_path / "policy.json"
    with open(file, "wb") as large:
        large.truncate(10**12)
    with pytest.raises(UserError, match="it has more than"):
        PolicyFile.read(file)


def test_straight_through_gates_are_0_or_1_and_pass_the_derivative_of_the_probability():
    policy = Policy(["Rotate", "Invert"], operations_per_image=2, shared_draw=True)
    with torch.no_grad():
        policy.probability_logits.copy_(torch.tensor([-1.5, 2.0]))
    torch.manual_seed(0)
    draw = policy.draw(20_000, straight_through=True)
    assert set(draw.gates.unique().tolist()) == {0.0, 1.0}
    assert not (draw.operations == draw.operations[0]).all()  # each image has a draw of its own
    for position, (name, logit) in enumerate((("Rotate", -1.5), ("Invert", 2.0))):
        chosen, probability = draw.operations == OPERATIONS[name].code, 1 / (1 + torch.tensor(-logit).exp())
        assert abs(draw.gates[chosen].mean() - probability) < 5 * 0.5 / 20_000**0.5
        (gradient,) = torch.autograd.grad(draw.gates[chosen].sum(), policy.probability_logits, retain_graph=True)
        assert gradient[position].item() == pytest.approx((20_000 * probability * (1 - probability)).item(), rel=1e-3)


def test_the_same_random_numbers_open_the_same_gates_either_way():
    policies = [Policy(["Rotate", "Invert"], 2, False) for _ in range(2)]
    draws = []
    for policy, straight_through in zip(policies, (False, True), strict=True):
        torch.manual_seed(3)
        draws.append(policy.draw(100, straight_through=straight_through))
    assert torch.equal(draws[0].gates > 0.5, draws[1].gates == 1)
    for name in ("operations", "levels", "centres"):
        assert torch.equal(getattr(draws[0], name), getattr(draws[1], name))


@pytest.mark.parametrize("sign", ["random", "learned"])
def test_a_random_policy_is_uniform_and_its_seeds(sign):
    policy, found = Policy(NAMES, sign=sign), []
    for seed in (0, 0, 1):
        policy.randomise(torch.Generator().manual_seed(seed))
        found.append([(row.probability, row.level) for row in policy.learned()])
    assert found[0] == found[1] != found[2]
    values = []
    for seed in range(200):
        policy.randomise(torch.Generator().manual_seed(seed))
        values.append((policy.probabilities().mean().item(), policy.levels()[0].item()))  # ShearX has a sign
    probabilities, levels = torch.tensor(values).T
    assert abs(probabilities.mean() - 0.5) < 0.02
    low = -1 if sign == "learned" else 0
    assert low <= levels.min() < low + 0.1 and 0.9 < levels.max() <= 1
