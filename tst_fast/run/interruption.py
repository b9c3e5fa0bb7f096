"""Signals that ask a run to stop: it first writes a checkpoint, and prints the command that resumes it."""

import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import torch
from accelerate import Accelerator

from tst_fast.errors import Interrupted
from tst_fast.ranks import over_ranks
from tst_fast.signals import SIGNALS, handled_by


class Interruption:
    """Notes the signals that arrive within it; the second SIGINT is an ordinary Ctrl-C.

    Args:
        accelerator: the processes, which stop together.
        folder: the run's.
        imports: `import_flags` of its configuration.
    """

    def __init__(self, accelerator: Accelerator, folder: Path, imports: Sequence[str]) -> None:
        self.accelerator, self.folder, self.imports = accelerator, folder, imports
        self.received: signal.Signals | None = None

    def __enter__(self) -> "Interruption":
        self._handling = handled_by(self._note)
        self._handling.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._handling.__exit__(None, None, None)

    @property
    def is_due(self) -> bool:
        """Whether to stop after this step, as far as this process can know by itself: where it is the only one."""
        return self.received is not None and self.accelerator.num_processes == 1

    def agreed(self) -> signal.Signals | None:
        """What any process has received; all must ask at the same step."""
        if self.accelerator.num_processes == 1:
            return self.received
        own = torch.tensor([float(self.received == one) for one in SIGNALS], device=self.accelerator.device)
        found = over_ranks(self.accelerator, own, "sum").tolist()
        return next((one for one, count in zip(SIGNALS, found, strict=True) if count), None)

    def error(self, received: signal.Signals, step: int) -> Interrupted:
        """What ends every process, once the main one has its checkpoint; which says how the run goes on."""
        self.accelerator.wait_for_everyone()  # a launcher may kill the others as soon as one has ended
        message = f"{received.name}: stopped after step {step:,}, with a checkpoint. To go on:\n"
        message += command_to_resume(self.folder, self.accelerator, self.imports)
        return Interrupted(received, message if self.accelerator.is_main_process else "")

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        if self.accelerator.is_main_process:
            os.write(2, f"\n{self.received.name}: stopping at the next step, with a checkpoint\n".encode())


def command_to_resume(folder: Path, accelerator: Accelerator, imports: Sequence[str]) -> str:
    """The command line that resumes a run as this process was started; `imports` are its `import_flags`."""
    program = Path(sys.argv[0])
    if program.suffix != ".py":
        return shlex.join([program.name, "train", "--resume", str(folder), *imports])
    started = ["-m", program.parent.name, "train"] if program.name == "__main__.py" else [str(program)]
    resumed = [*started, "--resume", str(folder), *imports]
    if "ACCELERATE_MIXED_PRECISION" not in os.environ:  # which `accelerate launch` sets
        if accelerator.num_processes == 1:
            return shlex.join(["python", *resumed])
        return shlex.join(["torchrun", "--nproc_per_node", str(accelerator.num_processes), *resumed])
    launch = ["accelerate", "launch", "--quiet", "--num_processes", str(accelerator.num_processes)]
    if accelerator.mixed_precision != "no":
        launch += ["--mixed_precision", accelerator.mixed_precision]
    return shlex.join([*launch, *resumed])
