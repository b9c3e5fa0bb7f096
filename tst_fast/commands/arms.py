"""The arms of a comparison: ways to train one student, each as what it changes of a configuration."""

import shlex
from collections.abc import Sequence
from typing import Any

from tst_fast.errors import UserError, nearest

STUDENT, KD, KD_ONE_CROP = "student alone", "KD", "KD, one crop"
RANDOM, UNTRAINED, TST = "KD, random policy", "KD, untrained policy", "TST"
NEURAL, BUDGET = "TST, neural prior", "TST, budget"

Changes = dict[str, Any]
"""Of a configuration, as `replace` takes them."""

PLAIN: Changes = {"distillation__augment": False, "distillation__second_crop": True, "policy__search": "none"}
"""In place of the augmented images, second crops: as many images a step, at the same cost."""

ARMS: dict[str, Changes] = {
    STUDENT: {**PLAIN, "distillation__teacher": False},
    KD_ONE_CROP: {**PLAIN, "distillation__second_crop": False},
    KD: PLAIN,
    RANDOM: {"policy__search": "none", "policy__init": "random"},
    UNTRAINED: {"policy__search": "none"},
    TST: {},
    NEURAL: {"policy__prior": "encoder"},
    BUDGET: {"policy__budget": 1.0},
}
"""By name. All take the same steps over the same images; with augmentation, the same random numbers for each draw."""

ARMS_HELP = f"ways to train the student, one or more of: {shlex.join(ARMS)}"

DEFAULT = [STUDENT, KD_ONE_CROP, KD, RANDOM, UNTRAINED, TST]

PAIRS = [(TST, UNTRAINED), (TST, KD), (UNTRAINED, KD), (TST, RANDOM), (KD, STUDENT), (BUDGET, UNTRAINED), (BUDGET, TST)]
"""Whose differences are reported, with each seed; the first pair that is run is the hypothesis, the others explore."""


def arms_of(names: Sequence[str]) -> dict[str, Changes]:
    """The arms that are asked for, by name.

    Raises:
        UserError: there are none, or there is none of such a name.
    """
    for name in names:
        if name not in ARMS:
            raise UserError(
                f"--arms: no arm {name!r}{nearest(name, list(ARMS))} Arms are {', '.join(map(repr, ARMS))}."
            )
    if not names:
        raise UserError("--arms names none")
    return {name: ARMS[name] for name in names}
