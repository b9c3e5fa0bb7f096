"""What a part measures: cases, each a row that is written whatever becomes of it."""

import gc
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.peers import Unavailable
from benchmarks.results import Results, Row, cell

NOT_REACHED = "not reached: the time of its part was up"


@dataclass(frozen=True)
class Setting:
    """What every part is told.

    Attributes:
        device: "cuda"; "cpu" rehearses.
        sizes: image sides in pixels, the main one first.
        batch: images of the main size.
        seconds: of each timing, at least.
        file: the JSON file; what else is written lies beside it.
        ends: when the part's time is up, by `time.monotonic`.
    """

    device: torch.device
    sizes: Sequence[int]
    batch: int
    seconds: float
    file: Path
    ends: float

    def batch_of(self, size: int) -> int:
        """Images of a size that hold as many pixels as the main batch."""
        return max(1, round(self.batch * (self.sizes[0] / size) ** 2))


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        what: columns that say what is measured.
        measure: gives the columns that were measured, or raises: an exception is a row, too.
    """

    what: Mapping[str, object]
    measure: Callable[[], Row]


def run(part: str, cases: Sequence[Case], results: Results) -> bool:
    """Measure each case; whether none raised anything unexpected."""
    first = len(results.rows)
    results.rows += [{"part": part, **case.what, "note": NOT_REACHED} for case in cases]
    results.save()
    is_sound = True
    for number, case in enumerate(cases, start=first):
        try:
            row = case.measure()
        except Unavailable as reason:
            row = {"note": str(reason)}
        except Exception as error:
            row = {"note": _told(error)}
            if not is_out_of_memory(error):
                traceback.print_exc()
                is_sound = False
        results.rows[number] = {"part": part, **case.what, **row}
        results.save()
        print(f"{part}: " + ", ".join(f"{name} {cell(value)}" for name, value in (case.what | row).items()), flush=True)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return is_sound


def is_out_of_memory(error: Exception) -> bool:
    """Whether a size was too large for this GPU, which is a finding and no fault."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)


def _told(error: Exception) -> str:
    if is_out_of_memory(error):
        return "out of memory"
    lines = str(error).strip().splitlines() or [""]
    return f"failed: {type(error).__name__}: {lines[0][:200]}"
