"""`policy.json`: what a policy learned, how it is applied and where it comes from; to read, to reload, to export."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tst_fast import __version__
from tst_fast.config.schema import Config
from tst_fast.errors import UserError
from tst_kernels.operations import find_operation

FORMAT = "tst-fast policy"
VERSION = 1


@dataclass(frozen=True)
class LearnedOperation:
    """What a policy knows of one operation, for people and for `policy.json`.

    Attributes:
        operation: its name.
        probability: that it is applied when it is drawn, 0..1.
        level: its strength, 0..1, or -1..1 where the sign is learned; None for an operation without a level.
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


@dataclass(frozen=True)
class PolicyFile:
    """All that is in a `policy.json`.

    Attributes:
        operations: what was learned.
        operations_per_image: how many distinct ones a draw holds.
        shared_draw: whether the images of a batch shared the draw of operations while it was learned.
        composition: additive or sequential, see `tst_fast.policy.augmenter`.
        sign: random or learned.
        temperature: of the relaxed Bernoulli gates.
        fill: three values in 0..1, what Cutout fills its square with.
        history: of each operation, its probability, level and magnitude before the search and after each of its
            passes.
        provenance: program, configuration, seed, data and networks it was learned with.
    """

    operations: list[LearnedOperation]
    operations_per_image: int
    shared_draw: bool
    composition: str
    sign: str
    temperature: float
    fill: list[float]
    history: dict[str, dict[str, list[float]]]
    provenance: dict[str, Any]

    @classmethod
    def of_run(
        cls,
        config: Config,
        history: Sequence[Sequence[LearnedOperation]],
        learned: Sequence[LearnedOperation],
        fingerprint: str,
        result: Mapping[str, Any],
    ) -> "PolicyFile":
        """What a run leaves.

        Args:
            config: the run's.
            history: what was known before the search and after each of its passes.
            learned: what is known now.
            fingerprint: of the training images.
            result: what `result.json` holds.
        """
        policy, data = config.policy, config.data
        networks = {
            role: {"name": getattr(config, role).name, "scores": result[role]} for role in ("teacher", "student")
        }
        return cls(
            operations=list(learned),
            operations_per_image=policy.operations_per_image,
            shared_draw=policy.shared_draw,
            composition=policy.composition,
            sign=policy.sign,
            temperature=policy.temperature,
            fill=list(data.mean),
            history=history_of(history),
            provenance={
                "program": f"tst-fast {__version__}",
                "config": config.name,
                "seed": config.seed,
                "prior": policy.prior,
                "data": {"name": data.name, "fingerprint": fingerprint, "image_size": data.image_size},
                **networks,
            },
        )

    def write(self, file: Path) -> None:
        """Write the file."""
        content = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(self)}
        file.write_text(json.dumps(content, indent=2) + "\n")

    @classmethod
    def read(cls, file: Path) -> "PolicyFile":
        """Read a file that `write` wrote, perhaps changed by hand.

        Raises:
            UserError: the file is missing or malformed, of another version, or holds a value out of its range.
        """
        try:
            content = json.loads(file.read_text())
            found = content.pop("format"), content.pop("version")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file} is not a readable policy.json: {_why(error)}") from None
        if found != (FORMAT, VERSION):
            raise UserError(
                f"{file} is {found[0]}, version {found[1]!r}; this program reads {FORMAT}, version {VERSION}"
            )
        try:
            rows = [LearnedOperation(**row) for row in content.pop("operations")]
            policy = cls(operations=rows, **content)
        except (KeyError, TypeError) as error:
            raise UserError(f"{file} is not a readable policy.json: {_why(error)}") from None
        policy._check(file)
        return policy

    def _check(self, file: Path) -> None:
        for key, known in (("composition", ("additive", "sequential")), ("sign", ("random", "learned"))):
            if getattr(self, key) not in known:
                raise UserError(f"{file}: {key} is {getattr(self, key)!r}; it must be {' or '.join(known)}")
        for row in self.operations:
            try:
                operation = find_operation(row.operation)
            except ValueError as error:
                raise UserError(f"{file}: {error}") from None
            _check_range(file, row, "probability", 0)
            if operation.has_level:
                _check_range(file, row, "level", -1 if self.sign == "learned" and operation.signed else 0)
        if not 1 <= self.operations_per_image <= len(self.operations):
            raise UserError(
                f"{file}: operations_per_image is {self.operations_per_image}; it must be from 1 to the "
                f"{len(self.operations)} operations in the file"
            )


def history_of(passes: Sequence[Sequence[LearnedOperation]]) -> dict[str, dict[str, list[float]]]:
    """What was known before the search and after each of its passes, as `PolicyFile.history`."""
    return {
        rows[0].operation: {
            key: [getattr(row, key) for row in rows]
            for key in ("probability", "level", "magnitude")
            if getattr(rows[0], key) is not None
        }
        for rows in zip(*passes, strict=True)
    }


def _check_range(file: Path, row: LearnedOperation, key: str, lowest: int) -> None:
    value = getattr(row, key)
    if not isinstance(value, int | float) or not lowest <= value <= 1:
        raise UserError(f"{file}: the {key} of {row.operation} is {value!r}; it must be in {lowest}..1")


def _why(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
