"""images/s of the additive augmentation, beside other libraries doing the same work.

Every arm sums the same gated operations, x + sum_k g_k (T_k(x) - x), on the same images at the same levels: draws of
four operations that together hold each operation twice. Levels that are Python numbers get no gradient: in the backward
pass of torchvision and triton-augment only the gates do, and kornia gives none to Posterize and Solarize.

    python -m benchmarks.augment --size 224 --batch 32
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.measure import interleaved, machine, publish, rates
from benchmarks.peers import KORNIA, TORCHVISION, Peer
from tst_kernels import OPERATIONS, Draw, mix

PAPER = tuple(name for name in OPERATIONS if name != "AutoContrast")
SLOTS = 4
PASSES = ("forward", "backward", "both")
Arm = Callable[[Tensor, Tensor, Tensor], list[Tensor]]
"""From images, level [B] and gates [B, 4] to the result of each draw."""


def draws(names: Sequence[str]) -> list[list[str]]:
    """Draws of four distinct operations; each operation is in two of them."""
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(0)).tolist()
    return [[names[order[(2 * i + j) % len(names)]] for j in range(SLOTS)] for i in range(len(names) // 2)]


def ours(names: Sequence[str], **how: object) -> Arm:
    """Our `mix`, called with `how`."""

    def run(images: Tensor, level: Tensor, gates: Tensor) -> list[Tensor]:
        results = []
        for chosen in draws(names):
            codes = torch.tensor([OPERATIONS[name].code for name in chosen], dtype=torch.int32)
            codes = codes.to(images.device, non_blocking=True).expand(gates.shape)
            results.append(mix(images, Draw(codes, level[:, None].expand(gates.shape), gates), **how))
        return results

    return run


def theirs(names: Sequence[str], peer: Peer) -> Arm:
    """Another library's operations, summed by hand."""

    def run(images: Tensor, level: Tensor, gates: Tensor) -> list[Tensor]:
        argument = 0.5 if peer.takes_numbers else level
        results = []
        for chosen in draws(names):
            total = images
            for slot, name in enumerate(chosen):
                changed = peer.operations[name](images, argument)
                total = total + gates[:, slot, None, None, None] * (changed - images)
            results.append(total)
        return results

    return run


def inputs(images: Tensor, gradients: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Images, levels of 0.5 and gates of 0.7."""
    batch = len(images)
    level = torch.full((batch,), 0.5, device=images.device, requires_grad=gradients)
    return images, level, torch.full((batch, SLOTS), 0.7, device=images.device, requires_grad=gradients)


def timed(arm: Arm, images: Tensor, passes: str) -> tuple[Callable[[], object], Callable[[object], object]]:
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


def measure(arms: dict[str, Arm], images: Tensor, names: Sequence[str], rounds: int, baseline: str) -> list[dict]:
    """A row for each arm and each of `PASSES`."""
    rows = []
    for passes in PASSES:
        seconds = interleaved({name: timed(arm, images, passes) for name, arm in arms.items()}, rounds)
        rows += [{"pass": passes, **row} for row in rates(seconds, len(images) * len(draws(names)), baseline)]
    return rows


def largest_difference(images: Tensor, arms: dict[str, Arm], reference: str) -> dict[str, float]:
    """How far each arm's results are from one arm's, at most, in 0..1: whether all do the same work."""
    expected = arms[reference](*inputs(images, False))
    differences = {}
    for name, arm in arms.items():
        pairs = zip(arm(*inputs(images, False)), expected, strict=True)
        differences[name] = max((a.float() - b.float()).abs().max().item() for a, b in pairs)
    return differences


def main() -> None:
    """Measure on the CPU, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224, help="image side in pixels")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    torch.manual_seed(0)
    images = torch.randint(0, 256, (options.batch, 3, options.size, options.size)) / 255
    arms = {
        "kornia": theirs(PAPER, KORNIA),
        "torchvision": theirs(PAPER, TORCHVISION),
        "ours": ours(PAPER, backend="torch"),
        "ours, compiled": ours(PAPER, backend="torch", compile=True),
    }
    rows = measure(arms, images, PAPER, options.rounds, "kornia")
    about = machine("kornia", "torchvision") | {"size": options.size, "batch": options.batch, "rounds": options.rounds}
    about["largest_difference"] = largest_difference(images[:2], arms, "ours")
    publish(f"Augmentation, {options.size} px, batch {options.batch}, CPU", rows, about, options.json)
    print("largest difference from ours:", about["largest_difference"])


if __name__ == "__main__":
    main()
