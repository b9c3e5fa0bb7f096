"""The user's own losses, networks and data sets, checked before anything is trained."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from tst_fast.config.data import DataConfig
from tst_fast.config.imports import is_import_path, load_object
from tst_fast.config.schema import LossConfig
from tst_fast.errors import UserError, in_short
from tst_fast.losses.distillation import LOSSES, Term, keyword_settings, make_term
from tst_pipelines import DataError

Kind = TypeVar("Kind")


def distillation_term(loss: LossConfig) -> Term:
    """The term that the configuration names, with its settings filled in: see `make_term`.

    Raises:
        UserError: it is the user's own, and cannot be imported, or cannot be called as a term is.
    """
    settings = vars(loss)
    if not is_import_path(loss.name):
        return make_term(LOSSES[loss.name], loss.standardise, settings)
    function = load_object(loss.name, "loss.name")
    given = keyword_settings(function, settings)
    try:
        inspect.signature(function).bind("student", "teacher", "labels", "weights", **given)
    except TypeError as error:
        raise UserError(
            f"--loss.name {loss.name} must take (student, teacher, labels, weights) and, by keyword, settings of "
            f"--loss alone: {error}"
        ) from None
    _require_keywords(loss.name, function, settings)
    return make_term(function, loss.standardise, settings)


def _require_keywords(name: str, function: Any, settings: dict[str, Any]) -> None:
    """Refuse a default that would be taken for a setting's value."""
    parameters = inspect.signature(function).parameters.values()
    missed = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name in settings]
    if missed:
        raise UserError(
            f"--loss.name {name}: --loss.{missed[0]} would not reach {missed[0]!r}, which it takes by position: put a "
            "* before it, among the function's parameters"
        )


def check_term(term: Term, loss: LossConfig, classes: int, weighted: bool) -> None:
    """Refuse a distillation term that cannot work; the user's own is called on two rows.

    Args:
        term: see `distillation_term`.
        loss: what names it.
        classes: of the data.
        weighted: whether rows are going to have weights.

    Raises:
        UserError: it compares classes and there is one; or it raises an error, or gives no scalar that the student can
            learn from.
    """
    if classes == 1 and (loss.standardise or loss.name in ("dkd", "dist")):
        named = "--loss.standardise true" if loss.standardise else f"--loss.name {loss.name}"
        raise UserError(
            f"{named} compares the logits of an image with each other, and there is one class: give --loss.name kd and "
            "--loss.standardise false"
        )
    if not is_import_path(loss.name):
        return
    generator = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(2, 2, classes, generator=generator)
    labels, weights = torch.tensor([0, classes - 1]), torch.full((2,), 0.5) if weighted else None
    with torch.enable_grad():
        try:
            value = term(student.requires_grad_(), teacher, labels, weights)
        except Exception as error:  # whatever the user's code raises
            of = f"logits [2, {classes}], int64 labels [2] and {'weights [2]' if weighted else 'no weights'}"
            raise UserError(f"--loss.name {loss.name} fails on {of} ({in_short(error)})") from error
    if not isinstance(value, Tensor) or value.shape != ():
        raise UserError(f"--loss.name {loss.name} must give a scalar tensor, got {shape_or_type(value)}")
    if not value.requires_grad:
        raise UserError(f"--loss.name {loss.name} gives a tensor without a gradient to the student's logits")


def require_logits(logits: Any, shape: Sequence[int | None], network: str) -> None:
    """Refuse an output that is not logits of the expected shape.

    Args:
        logits: of the network, or what it gives for them.
        shape: that they must have, images first; None: any length.
        network: the flag and the value that it is from.

    Raises:
        UserError: with what there is, and what there should be.
    """
    found = list(logits.shape) if isinstance(logits, Tensor) else []
    if len(found) != len(shape) or any(wanted not in (None, side) for wanted, side in zip(shape, found, strict=True)):
        named = ", ".join("any" if side is None else str(side) for side in shape)
        remedy = "" if found else ": wrap it in a module that gives these alone"
        raise UserError(
            f"{network} must put out logits [{named}] for {shape[0]} images, got {shape_or_type(logits)}{remedy}"
        )


def shape_or_type(value: Any) -> str:
    """What a value is, for a message."""
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def own_splits(data: DataConfig, kinds: tuple[type[Kind], ...]) -> tuple[Kind, Kind]:
    """The training and the test split that a function of the user's gives for `data.root`.

    Raises:
        tst_pipelines.DataError: as the function raises it.
        UserError: it raises another error, or gives something else.
    """
    function = load_object(data.name, "data.name")
    try:
        splits = function(None if data.root is None else Path(data.root))
    except (DataError, UserError):
        raise
    except Exception as error:  # whatever the user's code raises
        raise UserError(f"--data.name {data.name} fails on --data.root {data.root} ({in_short(error)})") from error
    if not isinstance(splits, tuple) or len(splits) != 2 or not all(isinstance(one, kinds) for one in splits):
        named = " or ".join(kind.__name__ for kind in kinds)
        raise UserError(f"--data.name {data.name} must return a training and a test split, each of type {named}")
    train, test = splits
    if train.classes != test.classes:
        raise UserError(f"--data.name {data.name}: the two splits have different classes")
    return train, test
