"""What a draw costs the host, and that the host waits for nothing in it: a CUDA graph may hold a step of the search."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tst_fast.config.operations import PAPER_OPERATIONS
from tst_fast.policy.dither import dithered
from tst_fast.policy.policy import Policy
from tst_kernels import OPERATIONS, mix

VIEWS = {"aten::view", "aten::expand", "aten::detach", "aten::select.int", "aten::split_with_sizes", "aten::unbind.int"}


class _Counter(TorchDispatchMode):
    """Counts what is launched: calls of operators, but those that only look at memory otherwise."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.count += function.name() not in VIEWS
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("straight_through", [True, False])
def test_few_launches(monkeypatch, straight_through):
    """As single steps of a graph they were 28 and 20."""
    monkeypatch.setattr("tst_kernels.draw.are_values_known", lambda *_: False)  # as on a GPU
    policy = Policy(PAPER_OPERATIONS)
    with _Counter() as forward:
        draw = policy.draw(8, straight_through)
    with _Counter() as backward:
        torch.autograd.backward([draw.gates, draw.levels], [torch.ones(8, 4), torch.ones(8, 4)])
    assert forward.count <= 17
    assert backward.count <= 11


@pytest.mark.parametrize("sign", ["random", "learned"])
@pytest.mark.parametrize("straight_through", [True, False])
def test_gradients_by_their_formula(straight_through, sign):
    """g (1 - g) / temperature of a relaxed gate, p (1 - p) of another; a level's by its sigmoid or tanh."""
    policy = Policy(["Rotate", "Invert", "Solarize"], 2, temperature=0.5, sign=sign)
    with torch.no_grad():
        policy.probability_logits.copy_(torch.tensor([-0.4, 0.3, 0.9]))
        policy.magnitude_logits.copy_(torch.tensor([0.7, -0.2]))
    draw = policy.draw(50, straight_through)
    weights = torch.rand(2, 50, 2)
    torch.autograd.backward([draw.gates, draw.levels], list(weights))
    gates, levels, weights = (value.detach().double().numpy() for value in (draw.gates, draw.levels, weights))
    for position, operation in enumerate(policy.operations):
        here = draw.operations.numpy() == operation.code
        share = gates[here] if not straight_through else policy.probabilities()[position].item()
        expected = (weights[0][here] * share * (1 - share)).sum() / (1 if straight_through else 0.5)
        assert policy.probability_logits.grad[position].item() == pytest.approx(expected, rel=1e-4)
    for position, name in enumerate(("Rotate", "Solarize")):
        here, of_level = draw.operations.numpy() == OPERATIONS[name].code, weights[1]
        level = levels[here]
        is_tanh = sign == "learned" and name == "Rotate"
        slope = 1 - level**2 if is_tanh else abs(level) * (1 - abs(level)) * (1 - 2 * (level < 0))
        expected = (of_level[here] * slope).sum()
        assert policy.magnitude_logits.grad[position].item() == pytest.approx(expected, rel=1e-4)


def test_the_host_waits_for_nothing(monkeypatch):
    """Tensors without data: whoever looks at a value fails, as the capture of a CUDA graph would."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with torch.device("meta"):
        policy = Policy(PAPER_OPERATIONS)
        images = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    draw = dithered(policy.draw(4, straight_through=True), 32, 32)
    loss = mix(images, draw, (0.5,) * 3, (0.25,) * 3, backend="triton").square().mean()
    loss.backward()
    assert policy.probability_logits.grad.is_meta and policy.magnitude_logits.grad.is_meta
    with pytest.raises(RuntimeError, match="meta"):
        loss.item()
