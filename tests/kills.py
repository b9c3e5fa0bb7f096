"""Runs that are killed at random moments and begun again by the same command, as a requeued job is.

`make kills` makes 50 kills, over the three tasks, in one process and in two; each run must end with the
bytes of one that nothing stopped. `make kills ARGS="--kills 200 --seed 3"` makes others.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.tst_fast.boxes import coco_flags, write_coco
from tests.tst_fast.label_maps import pairs_flags, write_pairs
from tests.tst_fast.processes import ROOT, Forked, only, start, start_ranks

TRAIN = str(ROOT / "tst_fast" / "train.py")
SHORT = ("--teacher_training.epochs=2", "--policy.search_at=[1]", "--log_every=1", "--checkpoint_every=1")
RECOGNITION = (
    "--config=digits",
    "--teacher.arguments={channels: [4, 8]}",
    "--student.arguments={channels: [4]}",
    "--student_training.epochs=3",
    "--data.image_size=16",
    "--data.batch_size=100",
)
SEGMENTATION = (
    "--config=segmentation/scenes",
    "--data.crop_size=[16, 24]",
    "--data.batch_size=4",
    "--teacher.arguments={channels: [4, 6, 6, 8]}",
    "--student.arguments={channels: [4, 4, 4, 6]}",
    "--student_training.epochs=2",
    "--student_training.optimizer.warmup_epochs=0",
    "--policy.search_epochs=1",
)
DETECTION = (
    "--config=detection/scenes",
    "--data.crop_size=[64, 96]",
    "--data.batch_size=4",
    "--teacher.arguments={channels: [4, 8, 8, 8], depth: 1, width: 32, convs: 1}",
    "--student.arguments={channels: [4, 4, 8, 8], depth: 1, width: 32, convs: 1}",
    "--student_training.epochs=2",
    "--student_training.optimizer.warmup_epochs=0",
    "--policy.search_epochs=1",
)
KEPT = ("student.safetensors", "student_best.safetensors", "teacher.safetensors", "policy.json")
KILLS_OF_A_RUN = 5


@dataclass
class Setting:
    """A kind of run.

    Attributes:
        flags: of train.py.
        processes: how many share it.
        folder: for what its runs leave.
    """

    flags: Sequence[str]
    processes: int
    folder: Path

    def begin(self, output: Path) -> list[subprocess.Popen | Forked]:
        """The processes of a run that begins, or continues."""
        command = [TRAIN, *self.flags, *SHORT, f"--output={output}", "--resume=auto"]
        return start_ranks(command, self.processes) if self.processes > 1 else [start(command)]

    def end(self, output: Path) -> None:
        """Let a run begin, or continue, until its end."""
        processes = self.begin(output)
        said = [process.communicate(timeout=300)[0] for process in processes]
        assert not any(process.returncode for process in processes), said

    def whole(self) -> Path:
        """The folder of a run that nothing stops, made once."""
        output = self.folder / "whole"
        if not output.exists():
            self.end(output)
        return only(output)

    def killed(self, name: str, kills: int, seconds: float, moments: random.Random) -> tuple[Path, int]:
        """The folder of a run that is killed up to this often, each time within some seconds after it took its folder.

        Returns:
            Also how often it was.
        """
        output, made = self.folder / name, 0
        while made < kills and not list(output.glob("*/result.json")):
            before = _state(output)
            processes = self.begin(output)
            deadline = time.monotonic() + 240
            while _state(output) == before and _are_running(processes):
                assert time.monotonic() < deadline, "it does not begin"
                time.sleep(0.02)
            time.sleep(moments.uniform(0, seconds))
            made += _are_running(processes)
            for process in processes:
                process.kill()
            for process in processes:
                said, _ = process.communicate()
                assert process.returncode in (0, -signal.SIGKILL), said
        if not list(output.glob("*/result.json")):
            self.end(output)
        (result,) = output.glob("*/result.json")
        return result.parent, made


def _are_running(processes: Sequence[subprocess.Popen | Forked]) -> bool:
    return all(process.poll() is None for process in processes)


def _state(output: Path) -> set[tuple[str, str]]:
    """Which process holds which run."""
    return {(file.parent.name, file.read_text()) for file in output.glob("*/lock")}


def differing(one: Path, other: Path) -> list[str]:
    """What two runs have left that is not the same."""
    return [name for name in KEPT if (one / name).read_bytes() != (other / name).read_bytes()]


def settings(folder: Path) -> dict[str, Setting]:
    """What `make kills` kills."""
    segmentation = [*SEGMENTATION, *pairs_flags(write_pairs(folder / "pairs"))]
    detection = [*DETECTION, *coco_flags(write_coco(folder / "boxes"))]
    kinds = {"recognition": RECOGNITION, "segmentation": segmentation, "detection": detection}
    return {
        f"{kind}, processes: {processes}": Setting(flags, processes, folder / f"{kind}{processes}")
        for kind, flags in kinds.items()
        for processes in (1, 2)
    }


def main(words: Sequence[str]) -> None:
    """Kill, continue, compare; exit status 1 if any run ended otherwise than one that nothing stopped."""
    parser = argparse.ArgumentParser("tests.kills", description="Kills runs and compares what they leave.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=4.0, help="after a run has its folder, at most")
    given = parser.parse_args(words)
    os.environ["ACCELERATE_USE_CPU"] = "true"
    moments, made, runs, wrong = random.Random(given.seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as temporary:
        kinds = settings(Path(temporary))
        while made < given.kills:
            name, setting = list(kinds.items())[runs % len(kinds)]
            whole = setting.whole()
            kills = min(KILLS_OF_A_RUN, given.kills - made)
            run, killed = setting.killed(f"run{runs}", kills, given.seconds, moments)
            found = differing(whole, run)
            made, runs, wrong = made + killed, runs + 1, wrong + bool(found)
            print(f"{name}: {killed} kills, {'DIFFERENT: ' + ', '.join(found) if found else 'identical'}", flush=True)
    print(f"{made} kills, {runs} runs, {wrong} of them different")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
