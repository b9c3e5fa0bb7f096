"""Prints how many MiB this process grew by at most while it evaluated: by a network's forward passes, and in all.

Its arguments are those of a configuration with label maps; for test_memory.py, in a process of its own.
"""

import sys
from contextlib import closing
from pathlib import Path

import torch
from accelerate import Accelerator

from tst_fast.config import reading
from tst_fast.run.evaluate import evaluate
from tst_fast.run.session import make_network
from tst_fast.tasks import make_task
from tst_kernels import normalise


def _status(name: str) -> float:
    """MiB, as Linux counts them: VmRSS is what is in memory, VmHWM the most there ever was since it was reset."""
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{name}:")[1].split()[0]) / 1024


def _growth(work) -> float:
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM is now VmRSS
    before = _status("VmRSS")
    work()
    return _status("VmHWM") - before


def main() -> None:
    torch.set_num_threads(1)
    config, accelerator = reading.from_flags(sys.argv[1:]), Accelerator(cpu=True)
    task = make_task(config, accelerator)
    test = task.splits().test
    network = make_network(config, "student", task, test, accelerator.device).eval()
    with closing(task.evaluation_loader(test)) as loader:
        images = normalise(next(iter(loader)).images, config.data.mean, config.data.std)
        with torch.inference_mode():
            forward = _growth(lambda: network(images))
        loader.close()
        whole = _growth(lambda: evaluate(network, loader, task, config.data, accelerator))
    print(f"{forward:.0f} {whole:.0f}")


main()
