"""What a task takes of the user's own code: a loss, and a data set."""

import inspect
from pathlib import Path
from typing import TypeVar

from tst_fast.config.data import DataConfig
from tst_fast.config.imports import is_import_path, load_object
from tst_fast.config.schema import LossConfig
from tst_fast.errors import UserError
from tst_fast.losses.distillation import LOSSES, Term, keyword_settings, make_term

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
    return make_term(function, loss.standardise, settings)


def own_splits(data: DataConfig, kinds: tuple[type[Kind], ...]) -> tuple[Kind, Kind]:
    """The training and the test split that a function of the user's gives for `data.root`.

    Raises:
        UserError: it gives something else.
    """
    function = load_object(data.name, "data.name")
    splits = function(None if data.root is None else Path(data.root))
    if not isinstance(splits, tuple) or len(splits) != 2 or not all(isinstance(one, kinds) for one in splits):
        named = " or ".join(kind.__name__ for kind in kinds)
        raise UserError(f"--data.name {data.name} must return a training and a test split, each of type {named}")
    train, test = splits
    if train.classes != test.classes:
        raise UserError(f"--data.name {data.name}: the two splits have different classes")
    return train, test
