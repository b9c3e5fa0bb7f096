"""Classes without training examples."""

from collections.abc import Sequence

import numpy as np

from tst_pipelines.datasets.files import shortened


def absent(kind: str, classes: Sequence[str], counts: np.ndarray, where: str = "") -> str:
    """`no training image of emu: ...`, with what to do about it; empty if there is no such class.

    Args:
        kind: what is counted, such as "training image".
        classes: their names.
        counts: of each class, int64 [C].
        where: it was looked for, such as " in 500 label maps".
    """
    names = [name for name, count in zip(classes, counts.tolist(), strict=True) if not count]
    if not names:
        return ""
    remedy = "number the classes from 0, not from 1" if names == ["0"] else "leave the class out"
    return f"no {kind} of {shortened(names)}{where}: add some, or {remedy}"
