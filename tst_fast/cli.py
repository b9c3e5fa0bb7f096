"""The command `tst-fast`."""

import importlib
import sys
from collections.abc import Sequence

from tst_fast import __version__
from tst_fast.errors import nearest

# Modules with a function `main`; only the one asked for is imported, for what they need takes seconds to import.
COMMANDS = {
    "train": "tst_fast.train",
    "compare": "tst_fast.commands.compare",
    "completion": "tst_fast.commands.completion",
    "doctor": "tst_fast.commands.doctor",
    "export": "tst_fast.commands.export",
    "predict": "tst_fast.commands.predict",
    "replay": "tst_fast.commands.replay",
    "report": "tst_fast.commands.report",
    "table": "tst_fast.commands.table",
    "verify-data": "tst_fast.commands.verify_data",
}
USAGE = """usage: tst-fast COMMAND [settings], or tst-fast --version

  train        distil a student by TST; the same as tst_fast/train.py, in one process
  compare      compare TST with baselines over several seeds
  completion   print a completion script for bash, zsh or tcsh: eval "$(tst-fast completion bash)"
  doctor       check for mistakes that would spoil a run, and estimate its time: tst-fast doctor PRESET_OR_FILE
  export       export a policy to torchvision or DALI, or a student to ONNX or Hugging Face's Hub
  predict      apply a run's student to images: tst-fast predict RUN IMAGES --output FOLDER
  replay       repeat the step at which a run met NaN, and name its first layer: tst-fast replay RUN/not_finite-*
  report       show runs and comparisons in one HTML file: tst-fast report RUN [RUN ...]
  table        train every pair of a group with every arm and seed: tst-fast table cifar100
  verify-data  check every image of a folder, and list damaged ones

`tst-fast COMMAND --help` explains each. For several GPUs: accelerate launch tst_fast/train.py"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Hand the rest of the command line to the command it begins with."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return
    if words[0] == "--version":
        print(__version__)
        return
    if words[0] not in COMMANDS:
        sys.exit(f"error: no command {words[0]!r}{nearest(words[0], list(COMMANDS))}\n\n{USAGE}")
    importlib.import_module(COMMANDS[words[0]]).main(words[1:])
