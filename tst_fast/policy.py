"""The policy: what it knows of each operation, and how it draws (TST, section 3; DESIGN section 2)."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from kernels import Draw
from kernels.operations import find_operation
from tst_fast.errors import UserError


@dataclass(frozen=True)
class LearnedOperation:
    """What a policy knows of one operation, for people and for `policy.json`.

    Attributes:
        operation: its name.
        probability: that it is applied when it is drawn, 0..1.
        level: its strength, 0..1; None for an operation without a level.
        magnitude: the level in physical units.
        unit: what `magnitude` counts.
        signed: whether the magnitude's sign is drawn at random.
    """

    operation: str
    probability: float
    level: float | None
    magnitude: float | None
    unit: str
    signed: bool


class Policy(nn.Module):
    """Learnable probabilities and magnitudes of a set of operations.

    `probability_logits` [N] and `magnitude_logits` [operations with a level] start at 0: probability 0.5, level 0.5.
    The sigmoid of a logit is the probability, or the level.

    Args:
        operations: names, see `kernels.OPERATIONS`.
        operations_per_image: how many distinct ones a draw holds.
        shared_draw: whether all images of a batch get the same operations.
        temperature: of the relaxed Bernoulli gates (Maddison et al., 2017).
    """

    def __init__(
        self,
        operations: Sequence[str],
        operations_per_image: int = 4,
        shared_draw: bool = True,
        temperature: float = 0.05,
    ) -> None:
        super().__init__()
        self.operations = [find_operation(name) for name in operations]
        self.operations_per_image = operations_per_image
        self.shared_draw = shared_draw
        self.temperature = temperature
        levelled = [position for position, operation in enumerate(self.operations) if operation.has_level]
        self.probability_logits = nn.Parameter(torch.zeros(len(self.operations)))
        self.magnitude_logits = nn.Parameter(torch.zeros(len(levelled)))
        codes = torch.tensor([operation.code for operation in self.operations], dtype=torch.int32)
        signed = torch.tensor([operation.signed for operation in self.operations])
        self.register_buffer("_levelled", torch.tensor(levelled, dtype=torch.int64), persistent=False)
        self.register_buffer("_codes", codes, persistent=False)
        self.register_buffer("_signed", signed, persistent=False)

    def probabilities(self) -> Tensor:
        """[N], 0..1."""
        return self.probability_logits.sigmoid()

    def levels(self) -> Tensor:
        """[N], 0..1; 0 for operations without a level."""
        zeros = torch.zeros_like(self.probability_logits)
        return zeros.index_copy(0, self._levelled, self.magnitude_logits.sigmoid())

    def draw(self, batch_size: int) -> Draw:
        """Operations, levels and gates for a batch, differentiable in the logits; from torch's global generator."""
        device = self.probability_logits.device
        size = (batch_size, self.operations_per_image)
        order = torch.rand(1 if self.shared_draw else batch_size, len(self.operations), device=device)
        chosen = order.topk(self.operations_per_image).indices.expand(size)
        uniform = torch.rand(size, device=device).clamp(1e-6, 1 - 1e-6)
        gates = ((self.probability_logits[chosen] + uniform.logit()) / self.temperature).sigmoid()
        flipped = self._signed[chosen] & (torch.rand(size, device=device) < 0.5)
        levels = self.levels()[chosen]
        return Draw(
            operations=self._codes[chosen],
            levels=torch.where(flipped, -levels, levels),
            gates=gates,
            centres=torch.rand(batch_size, 2, device=device),
        )

    @torch.no_grad()
    def learned(self) -> list[LearnedOperation]:
        """What it knows now, an entry for each operation."""
        values = zip(self.operations, self.probabilities().tolist(), self.levels().tolist(), strict=True)
        return [
            LearnedOperation(
                operation=operation.name,
                probability=probability,
                level=level if operation.has_level else None,
                magnitude=operation.magnitude(level) if operation.has_level else None,
                unit=operation.unit,
                signed=operation.signed,
            )
            for operation, probability, level in values
        ]

    def save(self, file: Path) -> None:
        """Write `policy.json`: an object an operation; `load` reads its probabilities and levels."""
        file.write_text(json.dumps({"operations": [asdict(row) for row in self.learned()]}, indent=2) + "\n")

    @torch.no_grad()
    def load(self, file: Path) -> None:
        """Take probabilities and levels from a `policy.json`.

        Raises:
            UserError: the file is missing or malformed, holds other operations, or a value outside 0..1.
        """
        try:
            rows = {row["operation"]: row for row in json.loads(file.read_text())["operations"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"--policy.init {file} is not a readable policy.json: {error}") from None
        names = [operation.name for operation in self.operations]
        if set(rows) != set(names):
            extra, missing = sorted(set(rows) - set(names)), sorted(set(names) - set(rows))
            raise UserError(
                f"--policy.init {file} is for other operations than --policy.operations; only in the file: "
                f"{', '.join(extra) or 'none'}; missing in the file: {', '.join(missing) or 'none'}"
            )
        probabilities = [_share(file, rows[o.name], "probability") for o in self.operations]
        levels = [_share(file, rows[o.name], "level") for o in self.operations if o.has_level]
        self.probability_logits.copy_(torch.tensor(probabilities, dtype=torch.float64).logit(eps=1e-6))
        self.magnitude_logits.copy_(torch.tensor(levels, dtype=torch.float64).logit(eps=1e-6))


def _share(file: Path, row: dict, key: str) -> float:
    value = row.get(key)
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UserError(f"--policy.init {file}: the {key} of {row['operation']} is {value!r}; it must be in 0..1")
    return float(value)
