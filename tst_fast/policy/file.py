"""`policy.json`: what a policy learned, how it is applied and where it comes from; to read, to reload, to export."""

import dataclasses
import json
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tst_fast import __version__
from tst_fast.config.policy import PolicyConfig
from tst_fast.errors import UserError, reason
from tst_kernels.operations import OPERATIONS, find_operation
from tst_pipelines.writing import write_text_whole

FORMAT = "tst-fast policy"
VERSION = 1
MAX_BYTES = 32 * 2**20
"""Of a file. A pass of the search adds some 1,000."""
MAX_PROVENANCE = 2**16
UNITS_BEFORE = {"change of factor, 1 + this": "factor minus 1"}
"""What units were called in files of before."""


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
        composes_warps: whether the warps of a draw are one map of the image and what lies in it, see
            `tst_fast.policy.augmenter`.
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
    composes_warps: bool = False

    @classmethod
    def of(
        cls,
        config: PolicyConfig,
        fill: Sequence[float],
        history: Sequence[Sequence[LearnedOperation]],
        composes_warps: bool,
        provenance: Mapping[str, Any],
    ) -> "PolicyFile":
        """What was learned under a configuration.

        Args:
            config: of the policy.
            fill: as above.
            history: what was known before the search and after each of its passes; the last is what is known now.
            composes_warps: as above.
            provenance: as above, but for the program.
        """
        return cls(
            operations=list(history[-1]),
            operations_per_image=config.operations_per_image,
            shared_draw=config.shared_draw,
            composition=config.composition,
            sign=config.sign,
            temperature=config.temperature,
            fill=list(fill),
            history=history_of(history),
            provenance={"program": f"tst-fast {__version__}", **provenance},
            composes_warps=composes_warps,
        )

    def write(self, file: Path) -> None:
        """Write the file."""
        content = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(self)}
        write_text_whole(file, json.dumps(content, indent=2) + "\n")

    @classmethod
    def read(cls, file: Path) -> "PolicyFile":
        """Read a file that `write` wrote, perhaps changed by hand, perhaps a stranger's: every value is checked.

        Raises:
            UserError: the file is missing or malformed, of another version, or holds a value of another type or out of
                its range.
        """
        content = _json_object(file)
        try:
            found = content.pop("format"), content.pop("version")
            if found != (FORMAT, VERSION):
                raise UserError(
                    f"{file} is {_shown(found[0])}, version {_shown(found[1])}; this program reads {FORMAT}, version "
                    f"{VERSION}"
                )
            rows = [LearnedOperation(**row) for row in content.pop("operations")]
            policy = cls(operations=rows, **content)
        except (KeyError, TypeError) as error:
            raise UserError(f"{file} is not a readable policy.json: {_why(error)}") from None
        try:
            policy._check()
        except UserError as error:
            raise UserError(f"{file}: {error}") from None
        return policy

    def _check(self) -> None:
        _require(
            self.composition in ("additive", "sequential"), "composition", self.composition, "additive or sequential"
        )
        _require(self.sign in ("random", "learned"), "sign", self.sign, "random or learned")
        for row in self.operations:
            self._check_row(row)
        names = [row.operation for row in self.operations]
        _require(len(set(names)) == len(names) > 0, "operations", names, "one or more, each once")
        _require(
            type(self.operations_per_image) is int and 1 <= self.operations_per_image <= len(names),
            "operations_per_image",
            self.operations_per_image,
            f"from 1 to the {len(names)} operations in the file",
        )
        for name in ("shared_draw", "composes_warps"):
            _require(isinstance(getattr(self, name), bool), name, getattr(self, name), "true or false")
        _require(_is_number(self.temperature, 1e-6, 1e6), "temperature", self.temperature, "a number in 1e-6..1e6")
        _require(_are_numbers(self.fill, 0, 1) and len(self.fill) == 3, "fill", self.fill, "three numbers in 0..1")
        _require(_is_history(self.history), "history", self.history, "numbers for known operations")
        longest = f"an object of at most {MAX_PROVENANCE:,} bytes"
        _require(_is_short(self.provenance), "provenance", self.provenance, longest)

    def _check_row(self, row: LearnedOperation) -> None:
        try:
            operation = find_operation(str(row.operation)[:64])
        except ValueError as error:
            raise UserError(str(error)) from None
        of = f"of {operation.name}"
        lowest = -1 if self.sign == "learned" and operation.signed else 0
        random_sign = operation.signed and self.sign == "random"
        _require(_is_number(row.probability, 0, 1), f"the probability {of}", row.probability, "in 0..1")
        if operation.has_level:
            _require(_is_number(row.level, lowest, 1), f"the level {of}", row.level, f"in {lowest}..1")
            _require(_is_number(row.magnitude), f"the magnitude {of}", row.magnitude, "a number")
        else:
            _require(row.level is None, f"the level {of}", row.level, "null")
            _require(row.magnitude is None, f"the magnitude {of}", row.magnitude, "null")
        unit = UNITS_BEFORE.get(row.unit, row.unit)
        _require(unit == operation.unit, f"the unit {of}", row.unit, repr(operation.unit))
        _require(row.signed is random_sign, f"signed {of}", row.signed, f"{random_sign} where signs are {self.sign}")


def policy_file(given: Path, flag: str) -> Path:
    """The file itself, or of a run's folder the policy.json in it.

    Args:
        given: a file or a folder.
        flag: that gave it, for the message.

    Raises:
        UserError: it is a folder without one.
    """
    if not given.is_dir():
        return given
    if not (file := given / "policy.json").is_file():
        raise UserError(f"{flag} {given} holds no policy.json: it is no run's folder, or of one that has not ended")
    return file


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


def _json_object(file: Path) -> dict[str, Any]:
    """What a file of JSON holds."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        content = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        if not isinstance(content, dict):
            raise ValueError("it is not a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is not a readable policy.json: {_why(error)}") from None
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _is_number(value: Any, lowest: float = -1e9, highest: float = 1e9) -> bool:
    """Whether it is a finite number in this range."""
    return isinstance(value, int | float) and not isinstance(value, bool) and lowest <= value <= highest


def _are_numbers(values: Any, lowest: float = -1e9, highest: float = 1e9) -> bool:
    return isinstance(values, list) and all(_is_number(value, lowest, highest) for value in values)


def _is_history(history: Any) -> bool:
    return isinstance(history, dict) and all(
        name in OPERATIONS
        and isinstance(course, dict)
        and all(key in ("probability", "level", "magnitude") and _are_numbers(row) for key, row in course.items())
        for name, course in history.items()
    )


def _is_short(provenance: Any) -> bool:
    try:
        return isinstance(provenance, dict) and len(json.dumps(provenance)) <= MAX_PROVENANCE
    except RecursionError:
        return False


def _require(valid: bool, what: str, value: Any, rule: str) -> None:
    if not valid:
        raise UserError(f"{what} is {_shown(value)}; it must be {rule}")


def _shown(value: Any) -> str:
    """A value of any size and kind in a message: shortened, and without line breaks."""
    return reprlib.repr(value)


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return reason(error)
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
