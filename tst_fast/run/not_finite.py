"""NaN and infinity in a run: the message, and a dump from which the step can be replayed.

A dump is a folder like a run's: the configuration, the newest checkpoint if there is one, and the teacher if it was
trained; `dump.json` says which step it was. `tst-fast replay` reads it.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tst_fast.config.kinds import from_json
from tst_fast.errors import UserError, printable, reason
from tst_fast.run.origin import RECORD
from tst_fast.run.plan import Stage
from tst_pipelines import Dataset
from tst_pipelines.writing import write_text_whole

VERSION = 1
MAX_BYTES = 32 * 2**20
"""Of a dump.json, which names the files of a batch."""


class NotFinite(Exception):
    """A step left a value that is NaN or infinite; the same on each rank.

    Attributes:
        stage: of the step.
        step: in its pass.
        what: is not finite: the loss, the gradient.
        indices: of this rank's images in that step, int64; None where another rank's made it.
    """

    def __init__(self, stage: Stage, step: int, what: str, indices: np.ndarray | None) -> None:
        super().__init__(f"{what} at step {step} of {stage}")
        self.stage: Stage = stage
        self.step, self.what, self.indices = step, what, indices


@dataclass(frozen=True)
class Dump:
    """Which step of a run was the first to leave something that is not finite.

    Attributes:
        stage: whose step.
        epoch: of the network that was trained.
        pass_index: of the run's passes.
        step: in the pass.
        what: is not finite.
        files: of the batch; none where another process had it.
        processes: of the run.
    """

    stage: Stage
    epoch: int
    pass_index: int
    step: int
    what: str
    files: list[str]
    processes: int

    @classmethod
    def of(cls, found: NotFinite, epoch: int, pass_index: int, dataset: Dataset, processes: int) -> "Dump":
        """What there is to say of a step on images of `dataset`."""
        files = [] if found.indices is None else [dataset.path(i) for i in found.indices]
        return cls(found.stage, epoch, pass_index, found.step, found.what, files, processes)

    def folder(self, run: Path) -> Path:
        """Where in a run's folder it belongs."""
        return run / f"not_finite-{self.pass_index:05}-{self.step:07}"

    def write(self, run: Path) -> None:
        """Make the folder of the dump in a run's."""
        folder = self.folder(run)
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        names = "config.yaml", RECORD, "teacher.safetensors"
        kept = [*(run / name for name in names), *sorted((run / "checkpoints").glob("*.pt"))[-1:]]
        for file in kept:
            if file.exists():
                shutil.copy2(file, folder / file.relative_to(run))
        write_text_whole(folder / "dump.json", json.dumps({"version": VERSION, **asdict(self)}, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Dump":
        """What `write` wrote.

        Raises:
            UserError: there is no dump in the folder, it is of another version, or a field is not what it must be.
        """
        file = folder / "dump.json"
        try:
            if file.stat().st_size > MAX_BYTES:
                raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
            content = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(content, dict) and content.pop("version", None) != VERSION:
                raise UserError(f"{folder} is a dump of another version of the program")
            return from_json(cls, content)
        except OSError as error:
            raise UserError(f"{folder} holds no dump of a run that was not finite ({reason(error)})") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file} is no dump of a run that was not finite: {error}") from None

    def message(self, run: Path, imports: Sequence[str]) -> str:
        """What the user is told: every rank stops, and those that made the NaN name the batch.

        Args:
            run: its folder.
            imports: `import_flags` of its configuration, which both commands must repeat.
        """
        said = "".join(f" {word}" for word in imports)
        where = "a batch of another process"
        if self.files:
            first, more = ", ".join(map(printable, self.files[:3])), max(len(self.files) - 3, 0)
            where = f"the batch of {first} and {more} more images"
        rate = f"{'policy' if self.stage == 'search' else f'{self.stage}_training.optimizer'}.learning_rate"
        return (
            f"{self.what} is not finite at step {self.step} of {self.stage} epoch {self.epoch}, in {where}. Lower "
            f"--{rate}, or look at these images. `tst-fast replay {self.folder(run)}{said}` takes the step again and "
            f"says where it begins; `--resume {run}{said} --override {rate}=VALUE` goes on from the last checkpoint"
        )
