"""The augmentation policy: its parameters, and how it draws (TST, section 3; docs/design.md, section 1)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from tst_fast.errors import UserError
from tst_fast.policy.chosen import Chosen
from tst_fast.policy.file import LearnedOperation, PolicyFile
from tst_kernels import Draw
from tst_kernels.operations import find_operation

START = 0.5
"""Every probability and level before a search. Not 0: there an operation is the identity whatever its sign, and on data
that knows no direction a level would have no gradient."""


class Policy(nn.Module):
    """Learnable probabilities and magnitudes of a set of operations.

    The sigmoid of `probability_logits` [N] is the probability. The sigmoid of `magnitude_logits` [operations with a
    level] is the level, in 0..1; where a sign is learned it is the hyperbolic tangent, in -1..1. All probabilities and
    levels start at 0.5: where a sign is learned, in the positive direction.

    Args:
        operations: names, see `tst_kernels.OPERATIONS`.
        operations_per_image: how many distinct ones a draw holds.
        shared_draw: whether all images of a batch get the same operations.
        temperature: of the relaxed Bernoulli gates (Maddison et al., 2017).
        sign: of signed operations: "random", drawn anew for each image, or "learned".
    """

    _levelled: Tensor
    _codes: Tensor
    _random_sign: Tensor
    _flip_chance: Tensor
    _one: Tensor
    _learned_sign: Tensor

    def __init__(
        self,
        operations: Sequence[str],
        operations_per_image: int = 4,
        shared_draw: bool = True,
        temperature: float = 0.05,
        sign: Literal["random", "learned"] = "random",
    ) -> None:
        super().__init__()
        self.operations = [find_operation(name) for name in operations]
        self.operations_per_image = operations_per_image
        self.shared_draw = shared_draw
        self.temperature = temperature
        self.sign = sign
        levelled = [position for position, operation in enumerate(self.operations) if operation.has_level]
        self.probability_logits = nn.Parameter(torch.zeros(len(self.operations)))
        self.magnitude_logits = nn.Parameter(torch.zeros(len(levelled)))
        codes = torch.tensor([operation.code for operation in self.operations], dtype=torch.int32)
        signed = torch.tensor([operation.signed for operation in self.operations])
        learned = signed & (sign == "learned")
        self.register_buffer("_levelled", torch.tensor(levelled, dtype=torch.int64), persistent=False)
        self.register_buffer("_codes", codes, persistent=False)
        self.register_buffer("_random_sign", signed & ~learned, persistent=False)
        self.register_buffer("_flip_chance", 0.5 * self._random_sign, persistent=False)
        self.register_buffer("_one", torch.ones(()), persistent=False)
        self.register_buffer("_learned_sign", learned[self._levelled], persistent=False)
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Forget what was learned."""
        self._set(torch.full_like(self.probability_logits, START), torch.full_like(self.magnitude_logits, START))

    def probabilities(self) -> Tensor:
        """[N], 0..1."""
        return self.probability_logits.sigmoid()

    def levels(self) -> Tensor:
        """[N], 0..1, or -1..1 where a sign is learned; 0 for operations without a level."""
        zeros, logits = torch.zeros_like(self.probability_logits), self.magnitude_logits
        levels = logits.sigmoid()
        if self.sign == "learned":
            levels = torch.where(self._learned_sign, logits.tanh(), levels)
        return zeros.index_copy(0, self._levelled, levels)

    def draw(self, batch_size: int, straight_through: bool = False) -> Draw:
        """Operations, levels and gates for a batch, differentiable in the logits; from torch's global generator.

        Args:
            batch_size: images.
            straight_through: gates of 0 or 1, whose derivative by the probability is taken to be 1 (Bengio et al.,
                2013), and a draw of operations for each image: a gradient with far less noise, at a slight bias.
                Otherwise gates are relaxed, and have the exact derivative of what was drawn.
        """
        device = self.probability_logits.device
        size = (batch_size, self.operations_per_image)
        shared = self.shared_draw and not straight_through
        orders = (1 if shared else batch_size, len(self.operations))
        order, gate, coin, centres = _uniform(device, orders, size, size, (batch_size, 2))
        chosen = order.topk(self.operations_per_image).indices.expand(size)
        gates, levels = Chosen.apply(  # pyright: ignore[reportGeneralTypeIssues]: torch does not say what it returns
            self.probability_logits,
            self.levels(),
            chosen,
            gate.logit(eps=1e-6),
            self._one.copysign(coin - self._flip_chance[chosen]),
            None if straight_through else self.temperature,
        )
        return Draw(self._codes[chosen], levels, gates, centres)

    @torch.no_grad()
    def learned(self) -> list[LearnedOperation]:
        """Its current probability and level of each operation."""
        columns = self.probabilities(), self.levels(), self._random_sign
        values = zip(self.operations, *(column.tolist() for column in columns), strict=True)
        return [
            LearnedOperation(
                operation=operation.name,
                probability=probability,
                level=level if operation.has_level else None,
                magnitude=operation.magnitude(level) if operation.has_level else None,
                unit=operation.unit,
                signed=signed,
            )
            for operation, probability, level, signed in values
        ]

    @torch.no_grad()
    def load(self, file: Path) -> None:
        """Take probabilities and levels from a `policy.json`.

        Raises:
            UserError: as `PolicyFile.read`, or the file holds other operations, or signs of the other kind.
        """
        learned = PolicyFile.read(file)
        rows = {row.operation: row for row in learned.operations}
        names = [operation.name for operation in self.operations]
        if set(rows) != set(names):
            extra, missing = sorted(set(rows) - set(names)), sorted(set(names) - set(rows))
            raise UserError(
                f"--policy.init {file} is for other operations than --policy.operations; only in the file: "
                f"{', '.join(extra) or 'none'}; missing in the file: {', '.join(missing) or 'none'}"
            )
        if learned.sign != self.sign:
            raise UserError(f"--policy.init {file} has {learned.sign} signs: give --policy.sign {learned.sign}")
        probabilities = [rows[o.name].probability for o in self.operations]
        levels = [rows[o.name].level for o in self.operations if o.has_level]
        self._set(torch.tensor(probabilities, dtype=torch.float64), torch.tensor(levels, dtype=torch.float64))

    @torch.no_grad()
    def randomise(self, generator: torch.Generator) -> None:
        """Draw every probability and level uniformly from 0..1 (where a sign is learned, from -1..1)."""
        probabilities = torch.rand(len(self.probability_logits), generator=generator)
        levels = torch.rand(len(self.magnitude_logits), generator=generator)
        learned = self._learned_sign.cpu()
        self._set(probabilities, torch.where(learned, 2 * levels - 1, levels))

    @torch.no_grad()
    def keep_within(self, probabilities: tuple[float, float], levels: tuple[float, float]) -> None:
        """Move whatever is beyond these bounds, of 0..1, back to them; a learned sign may still change."""
        low, high = torch.tensor(probabilities).logit().tolist()
        self.probability_logits.clamp_(low, high)
        low, high = torch.tensor(levels).logit().tolist()
        most = torch.tensor(levels[1]).atanh().item()
        logits = self.magnitude_logits
        logits.copy_(torch.where(self._learned_sign, logits.clamp(-most, most), logits.clamp(low, high)))

    def _set(self, probabilities: Tensor, levels: Tensor) -> None:
        """Give every logit the value that means this probability [N], or this level [operations with a level]."""
        largest = 1 - 1e-6
        inverse_tanh = levels.clamp(-largest, largest).atanh()
        self.probability_logits.copy_(probabilities.logit(eps=1e-6))
        self.magnitude_logits.copy_(torch.where(self._learned_sign, inverse_tanh, levels.logit(eps=1e-6)))


def _uniform(device: torch.device, *shapes: tuple[int, int]) -> Iterator[Tensor]:
    """Uniform numbers in these shapes, from one launch; on a CPU, those of as many calls of `torch.rand`."""
    counts = [rows * columns for rows, columns in shapes]
    numbers = torch.rand(sum(counts), device=device).split(counts)
    return (part.view(shape) for part, shape in zip(numbers, shapes, strict=True))
