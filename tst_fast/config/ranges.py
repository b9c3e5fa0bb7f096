"""Which values a setting may have at all, whatever the others are: null, and the range of each number."""

import dataclasses
import math
import reprlib
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tst_fast.errors import UserError


@dataclass(frozen=True)
class Range:
    """From one number to another.

    Attributes:
        low: the least.
        high: the greatest.
        above: whether `low` itself is left out.
        below: whether `high` itself is.
    """

    low: float
    high: float
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        from_low = value > self.low if self.above else value >= self.low
        return from_low and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        return f"{'above' if self.above else 'from'} {self.low:,}, {'to below' if self.below else 'to'} {self.high:,}"


COUNT = Range(1, 10**9)
SIDE = Range(1, 2**16)
SEED = Range(0, 2**32 - 1)
EPOCHS = Range(0, 10**6)
SHARE = Range(0, 1)
SOME_SHARE = Range(0, 1, above=True)
LESS_THAN_ALL = Range(0, 1, below=True)
BETWEEN = Range(0, 1, above=True, below=True)
WEIGHT = Range(0, 1e30)
POSITIVE = Range(0, 1e30, above=True)
CHANNEL = Range(-1000, 1000)
DEVIATION = Range(0, 1000, above=True)

_MODEL = {"mean": CHANNEL, "std": DEVIATION, "expected_score": SHARE}
_OPTIMIZER = {
    "learning_rate": WEIGHT,
    "momentum": LESS_THAN_ALL,
    "betas": LESS_THAN_ALL,
    "epsilon": WEIGHT,
    "weight_decay": WEIGHT,
    "milestones": EPOCHS,
    "decay_factor": WEIGHT,
    "power": POSITIVE,
    "final_learning_rate": WEIGHT,
    "warmup_epochs": EPOCHS,
    "warmup_learning_rate": WEIGHT,
}
_TRAINING = {
    "epochs": EPOCHS,
    **{f"optimizer.{name}": allowed for name, allowed in _OPTIMIZER.items()},
    "mixup": Range(0, 1000),
    "cutmix": Range(0, 1000),
    "label_smoothing": LESS_THAN_ALL,
    "clip_norm": POSITIVE,
    "accumulate": COUNT,
    "ema_decay": BETWEEN,
}
_DATA = {
    "ids": Range(0, 2**16 - 1),
    "ignored": Range(0, 2**16 - 1),
    "images": COUNT,
    "classes": Range(1, 10**6),
    "image_size": SIDE,
    "batch_size": Range(1, 10**6),
    "crop_size": SIDE,
    "scale": Range(0, 100, above=True),
    "padding": Range(0, 2**12),
    "flip": SHARE,
    "resize": SIDE,
    "test_batch_size": Range(1, 10**6),
    "window": SIDE,
    "window_step": SIDE,
    "mean": CHANNEL,
    "std": DEVIATION,
    "threads": Range(1, 1024),
    "prefetch": Range(1, 1024),
    "fraction": SOME_SHARE,
    "fraction_seed": SEED,
    "hw_decoder_load": SHARE,
    "preallocate_width_hint": Range(0, 2**16),
    "preallocate_height_hint": Range(0, 2**16),
}
_LOSS = {
    "alpha": WEIGHT,
    "tau": POSITIVE,
    "cross_entropy_weight": WEIGHT,
    "target_weight": WEIGHT,
    "non_target_weight": WEIGHT,
    "inter_weight": WEIGHT,
    "intra_weight": WEIGHT,
    "features.weight": WEIGHT,
    "cwd_weight": WEIGHT,
    "cwd_tau": POSITIVE,
    "box_weight": WEIGHT,
    "auxiliary_weight": WEIGHT,
    "auxiliary_alpha": WEIGHT,
}
_POLICY = {
    "visible": SHARE,
    "quality_weight": SHARE,
    "operations_per_image": COUNT,
    "temperature": POSITIVE,
    "student_weight": POSITIVE,
    "budget": Range(0, 100, above=True),
    "encoder_steps": COUNT,
    "search_at": EPOCHS,
    "search_confidences": BETWEEN,
    "search_epochs": Range(1, 10**6),
    "search_fraction": SOME_SHARE,
    "search_every": COUNT,
    "search_steps": COUNT,
    "search_window": COUNT,
    "learning_rate": WEIGHT,
    "momentum": LESS_THAN_ALL,
    "clip_norm": POSITIVE,
    "accumulate": COUNT,
}
_GROUPS = {
    "data": _DATA,
    "teacher": _MODEL,
    "student": _MODEL,
    "teacher_training": _TRAINING,
    "student_training": _TRAINING,
    "loss": _LOSS,
    "policy": _POLICY,
}
RANGES: dict[str, Range] = {
    "seed": SEED,
    "evaluate_every": COUNT,
    "log_every": COUNT,
    "checkpoint_every": COUNT,
    "timeout": Range(1, 10**6),
    **{f"{group}.{name}": allowed for group, table in _GROUPS.items() for name, allowed in table.items()},
}
"""Of every setting that is a number or holds numbers."""


def check_ranges(config: Any) -> None:
    """Refuse null where it means nothing, and numbers that are not finite or out of their range.

    Raises:
        UserError: the message names the flag, its value and what it may be.
    """
    for name, value, kind in settings_with_kinds(config):
        if value is None and type(None) not in typing.get_args(kind):
            raise UserError(f"--{name} is null, which means nothing here: give a value, or leave the setting out")
        allowed = RANGES.get(name)
        for number in _numbers(value):
            if isinstance(number, float) and not math.isfinite(number):
                raise UserError(f"--{name} is {value}: it must be finite")
            if allowed is not None and number not in allowed:
                raise UserError(f"--{name} is {reprlib.repr(value)}: it must be {allowed}{_or_null(kind)}")


def settings_with_kinds(group: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, value and type of each setting in a group and in those inside it."""
    kinds = typing.get_type_hints(type(group))
    for item in dataclasses.fields(group):
        value, name = getattr(group, item.name), f"{prefix}{item.name}"
        if dataclasses.is_dataclass(value):
            yield from settings_with_kinds(value, f"{name}.")
            continue
        yield name, value, kinds[item.name]
        for inner in value if isinstance(value, list) else []:
            if dataclasses.is_dataclass(inner):
                yield from settings_with_kinds(inner, f"{name}.")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner)
    elif isinstance(value, dict):
        yield from _numbers([*value.keys(), *value.values()])


def _or_null(kind: Any) -> str:
    return ", or null" if type(None) in typing.get_args(kind) else ""
