"""DALI's loader decoding on this GPU: one setting after the other is changed."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gpu.cases import Case, Setting
from benchmarks.loaders import BATCH, DECODINGS, HAS_DALI, SETTLE, Decoding, gpu_arm, photographs, rows_of
from benchmarks.peers import Unavailable
from benchmarks.results import Row
from benchmarks.timing import steady

ROUNDS = 2


def cases(setting: Setting, so_far: Sequence[Row]) -> Iterator[Case]:
    """The default, then each change of it, then the default again, which shows the noise."""
    scratch = TemporaryDirectory()
    for decoding in (*DECODINGS, DECODINGS[0]):
        what = {"name": "DaliLoader", "batch": BATCH, **vars(decoding)}
        yield Case(what, partial(_measure, setting, scratch, decoding))


def _measure(setting: Setting, scratch: TemporaryDirectory, decoding: Decoding) -> Row:
    if not HAS_DALI:
        raise Unavailable("DALI is not installed")
    if setting.device.type != "cuda":
        raise Unavailable("needs a GPU")
    dataset = photographs(None, Path(scratch.name))
    arm = gpu_arm(dataset, decoding)
    return rows_of(steady({"DaliLoader": arm}, BATCH, 2 * setting.seconds, SETTLE, ROUNDS), "", None)[0]
