"""Gates and levels of the operations that a draw chose, as one function with a gradient.

The tensors are tiny: what counts is how many launches there are. As a graph of single steps they were twice as many.
"""

from typing import Any

import torch
from torch import Tensor

_sigmoid_backward = torch.ops.aten.sigmoid_backward


class Chosen(torch.autograd.Function):
    """Relaxed or straight-through Bernoulli gates, and levels with their signs: both [B, K].

    Args:
        logits: [N], of each operation's probability.
        levels: [N], of each operation.
        chosen: int64 [B, K], positions of operations.
        noise: [B, K], logits of uniform numbers.
        sign: [B, K], by which levels are multiplied.
        temperature: of relaxed gates; None: gates of 0 or 1, with the derivative of the probability.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, levels: Tensor, chosen: Tensor, noise: Tensor, sign: Tensor, temperature: float | None
    ) -> tuple[Tensor, Tensor]:
        moved = logits[chosen] + noise
        # Nothing is added to gates of 0 and 1, but NaN.
        gates = (moved > 0) + 0 * moved if temperature is None else (moved / temperature).sigmoid()
        ctx.save_for_backward(logits, chosen, sign, gates)
        ctx.temperature = temperature
        return gates, levels[chosen] * sign

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_gates, of_levels = gradients
        logits, chosen, sign, gates = ctx.saved_tensors
        relaxed = ctx.temperature is not None
        if relaxed:
            of_gates = _sigmoid_backward(of_gates, gates) / ctx.temperature
        # The gradient of looking rows of a table up: the same bits on every run, on a GPU too, and one launch there.
        each = torch.stack([of_gates, of_levels * sign], dim=-1)
        of_logits, of_levels = torch.ops.aten.embedding_dense_backward(each, chosen, len(logits), -1, False).unbind(1)
        if not relaxed:
            of_logits = _sigmoid_backward(of_logits, logits.sigmoid())
        return of_logits, of_levels, None, None, None, None
