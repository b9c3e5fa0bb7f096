"""The work that every library is measured on: the additive augmentation, as each of them does it.

Every arm sums the same gated operations, x + sum_k g_k (T_k(x) - x), on the same float images at the same levels: draws
of four operations that together hold each operation twice. Levels that are Python numbers get no gradient: in the
backward pass of torchvision and triton-augment only the gates do, and kornia gives none to Posterize and Solarize.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from benchmarks import peers
from benchmarks.peers import Peer
from benchmarks.timing import Timed
from tst_kernels import OPERATIONS, Draw, mix

PAPER = tuple(name for name in OPERATIONS if name != "AutoContrast")
"""The paper's fourteen operations."""
SLOTS = 4
PASSES = ("forward", "backward", "both")
Arm = Callable[[Tensor, Tensor, Tensor], list[Tensor]]
"""From images, level [B] and gates [B, 4] to the result of each draw."""


def draws(names: Sequence[str]) -> list[list[str]]:
    """Draws of four distinct operations; each operation is in two of them."""
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(0)).tolist()
    return [[names[order[(2 * i + j) % len(names)]] for j in range(SLOTS)] for i in range(len(names) // 2)]


def ours(names: Sequence[str], device: torch.device, **how: object) -> Arm:
    """Our `mix`, called with `how`."""
    codes = [torch.tensor([OPERATIONS[name].code for name in chosen], device=device) for chosen in draws(names)]

    def run(images: Tensor, level: Tensor, gates: Tensor) -> list[Tensor]:
        levels = level[:, None].expand(gates.shape)
        return [mix(images, Draw(code.expand(gates.shape), levels, gates), **how) for code in codes]

    return run


def theirs(names: Sequence[str], peer: Peer) -> Arm:
    """Another library's operations, summed by hand.

    Raises:
        Unavailable: it lacks one of them.
    """
    lacking = [name for name in names if name not in peer.operations]
    if lacking:
        raise peers.Unavailable(f"lacks {', '.join(lacking)}")

    def run(images: Tensor, level: Tensor, gates: Tensor) -> list[Tensor]:
        return [superimposed(peer, chosen, images, level, gates) for chosen in draws(names)]

    return run


def superimposed(peer: Peer, chosen: Sequence[str], images: Tensor, level: Tensor, gates: Tensor) -> Tensor:
    """x + sum_k g_k (T_k(x) - x) for the chosen operations of a library, at one level [B], with gates [B, SLOTS]."""
    argument = 0.5 if peer.takes_numbers else level
    total = images
    for slot, name in enumerate(chosen):
        changed = peer.operations[name](images, argument)
        total = total + gates[:, slot, None, None, None] * (changed - images)
    return total


def inputs(images: Tensor, gradients: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Images, levels of 0.5 and gates of 0.7."""
    batch = len(images)
    level = torch.full((batch,), 0.5, device=images.device, requires_grad=gradients)
    return images, level, torch.full((batch, SLOTS), 0.7, device=images.device, requires_grad=gradients)


def timed(arm: Arm, images: Tensor, passes: str) -> Timed:
    """What to do before the clock starts, and what to time, for one of `PASSES`."""
    arguments = inputs(images, passes != "forward")
    weights = torch.rand_like(images)

    def run(_: object = None) -> list[Tensor]:
        with torch.set_grad_enabled(passes != "forward"):
            return arm(*arguments)

    def back(results: object) -> None:
        for result in results:
            torch.autograd.grad(result, arguments[1:], weights, allow_unused=True)

    if passes == "backward":
        return run, back
    return lambda: None, run if passes == "forward" else lambda _: back(run())


def largest_difference(images: Tensor, arms: Mapping[str, Arm], reference: str) -> dict[str, float]:
    """How far each arm's results are from one arm's, at most, in 0..1: whether all do the same work."""
    expected = arms[reference](*inputs(images, False))
    differences = {}
    for name, arm in arms.items():
        pairs = zip(arm(*inputs(images, False)), expected, strict=True)
        differences[name] = max((a.float() - b.float()).abs().max().item() for a, b in pairs)
    return differences
