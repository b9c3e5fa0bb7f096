"""The commands of README and docs/ print what they should, on stand-ins for the data that they name.

Runs are dry runs, or of the smallest networks; what stays is every flag that the page shows. `python -m pytest -m long
tests/docs/test_commands.py`: ten minutes of a core.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.docs.material import make_all
from tests.docs.pages import PAGES, ROOT, commands
from tests.tst_fast.processes import PACKAGES
from tst_fast.config import reading
from tst_fast.config.schema import Config
from tst_fast.models.build import build_model
from tst_fast.models.weights import save_weights

DRY = "--dry_run"
DRY_ENDS = "two steps of everything went well"
NETWORKS = "--teacher.arguments '{channels: [4, 8]}' --student.arguments '{channels: [4]}'"
SHORT = (
    f"{NETWORKS} --teacher_training.epochs 1 --student_training.epochs 2 --policy.search_at '[1]' --data.batch_size 100"
)
AT_32 = "--data.image_size 32 --data.resize 36 --data.batch_size 4 --teacher.pretrained false"
ON_SCENES = "--data.name scenes --data.crop_size '[96, 96]' --data.batch_size 2 --dry_run"
TRAIN = "accelerate launch --quiet tst_fast/train.py"
BF16 = "accelerate launch --quiet --mixed_precision bf16 tst_fast/train.py"

RUN = {
    # README and quick start.
    f"{TRAIN} --config resnet34-resnet18 --data.root IMAGENET": (f"{AT_32} {DRY}", DRY_ENDS),
    f"{TRAIN} --config segmentation/scenes": (DRY, DRY_ENDS),
    f"{TRAIN} --config folder --data.root IMAGES --teacher.name resnet34 --teacher.checkpoint teacher.safetensors "
    "--student.name resnet18": (f"--data.image_size 32 --data.resize 36 --data.batch_size 4 {DRY}", DRY_ENDS),
    "tst-fast report RUN": ("", r"RUN/report\.html"),
    "tst-fast report RUN RUN --output both.html": (None, "a folder is given twice"),
    f"{BF16} --config resnet34-resnet18 --data.root IMAGENET --dry_run": (AT_32, DRY_ENDS),
    f"{BF16} --config resnet34-resnet18 --data.root IMAGENET": (f"{AT_32} {DRY}", DRY_ENDS),
    # Experiments.
    f"{TRAIN} --config resnet32x4-resnet8x4 --data.root CIFAR": (
        f"--data.name digits --data.batch_size 8 {DRY}", DRY_ENDS,
    ),
    "tst-fast doctor --config resnet34-resnet18 --data.root IMAGENET": (AT_32, r"share of time"),
    f"{TRAIN} --config resnet34-resnet18 --data.root IMAGENET --dry_run": (AT_32, DRY_ENDS),
    "tst-fast train --config RUN/config.yaml --evaluate_only --student.checkpoint RUN": (
        "", r"student accuracy on 1,397 test images: \d",
    ),
    "tst-fast train --config digits --loss.name dist --policy.search_at auto": (f"{NETWORKS} {DRY}", DRY_ENDS),
    "tst-fast train --config digits --policy.search interleaved --policy.search_every 20": (
        f"{NETWORKS} {DRY}", DRY_ENDS,
    ),
    'tst-fast train --config digits --student.name resnet8x4 --student.arguments "{}" --student_training.epochs 20 '
    '--policy.search_at "[5]"': ("--data.batch_size 8 --dry_run", DRY_ENDS),
    "tst-fast compare --config digits --seeds 5": (
        f"{SHORT} --seeds 2 --output comparisons", r"(?s)student alone.*TST",
    ),
    "tst-fast compare --config digits --seeds 2 --arms KD TST --data.fraction 0.25": (
        f"{SHORT} --data.batch_size 50 --output comparisons", r"(?s)KD.*TST",
    ),
    "tst-fast predict RUN IMAGES --output FOLDER": ("", "24 images"),
    "tst-fast train --resume RUN --override student_training.optimizer.learning_rate=0.01": (
        None, "everything is in RUN",
    ),
    "tst-fast train --resume RUN": (None, "everything is in RUN"),
    "tst-fast train --config digits --track tensorboard": (f"{NETWORKS} {DRY}", DRY_ENDS),
    # Data.
    "tst-fast train --config folder --data.name list --data.root IMAGES --data.train train.txt --data.test val.txt": (
        f"--teacher.name resnet8x4 --student.name resnet8x4 {AT_32} {DRY}", DRY_ENDS,
    ),
    "tst-fast train --config folder --data.name webdataset --data.root SHARDS --data.train \"train-*.tar\" --data.test "
    "\"val-*.tar\"": (f"--teacher.name resnet8x4 --student.name resnet8x4 {AT_32} {DRY}", DRY_ENDS),
    "tst-fast verify-data IMAGES": ("", "24 images"),
    "tst-fast verify-data IMAGES --write-exclude bad.txt": ("", "24 images"),
    "tst-fast train --config folder --data.root IMAGES --data.exclude bad.txt": (
        f"--teacher.name resnet8x4 --student.name resnet8x4 {AT_32} {DRY}", DRY_ENDS,
    ),
    'tst-fast verify-data PAIRS --config segmentation/scenes --data.name pairs --data.root PAIRS --data.class_names '
    '"[ground, sky]"': ("", "8 "),
    # Label maps and boxes.
    f"{TRAIN} --config deeplabv3_resnet101-deeplabv3_resnet18 --data.root CITYSCAPES": (
        f"{ON_SCENES} --student.arguments '{{align_corners: true}}' --sync_batch_norm false", DRY_ENDS,
    ),
    f"{TRAIN} --config segmentation/scenes --name camvid --data.name pairs --data.root CAMVID --data.train train "
    "--data.train_labels trainannot --data.test val --data.test_labels valannot --data.class_names '[sky, building, "
    "pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist]' --data.ignored '[11]' "
    "--data.crop_size '[256, 256]' --data.scale '[0.5, 2]' --data.flip 0.5": (
        "--data.crop_size '[64, 64]' --data.batch_size 2 --dry_run", DRY_ENDS,
    ),
    f"{TRAIN} --config detection/scenes": (f"--data.batch_size 2 {DRY}", DRY_ENDS),
    f"{TRAIN} --config bccd --data.root BCCD": (f"--data.batch_size 2 {DRY}", DRY_ENDS),
    f"{TRAIN} --config fcos_resnet50-fcos_resnet18 --data.root COCO": (
        f"{ON_SCENES} --data.crop_size '[128, 128]' --teacher.pretrained false --student.arguments "
        "'{backbone: resnet18}'", DRY_ENDS,
    ),
    f"{TRAIN} --config detection/scenes --data.name coco --data.root ROOT --data.train images --data.train_labels "
    "annotations/train.json --data.test images --data.test_labels annotations/val.json --data.crop_size '[256, 320]' "
    "--data.flip 0.5": (f"--data.batch_size 2 {DRY}", DRY_ENDS),
    # Own loops and code, the augmentation, export.
    "tst-fast train --config digits --student.name mine:Net --student.arguments '{width: 64}' "
    "--loss.name mine:l1_distance": (
        f"--teacher.arguments '{{channels: [4]}}' {DRY}", DRY_ENDS,
    ),
    "tst-fast export --onnx RUN --output student.onnx": ("", r"student\.onnx"),
    "tst-fast export --hub RUN --output MODEL": ("", r"MODEL"),
    "python examples/plain_loop.py": (None, r"(?s)teacher: 9\d\.\d % of 1000.*student: \d.*'Rotate'"),
    "python examples/lightning_callback.py": (None, r"(?s)teacher: 9\d\.\d %.*student: \d.*'Rotate'"),
    "python examples/learn_magnitudes.py magnitudes.png": (None, r"step  99: loss 0\.0000\d, rotation -1\d\."),
    "python kernels/build_for_hub.py HUB": (None, "HUB/build/torch-cuda"),
    "tst-fast export --policy RUN/policy.json --to torchvision --output transform.py": ("", r"transform\.py: "),
    "tst-fast export --policy RUN/policy.json --to dali --output dali_policy.py": ("", r"dali_policy\.py: "),
    # What the pages are made of.
    "python docs/draw_method.py method.png": ("--epochs 2", ""),
    "python -m benchmarks.hours": (None, r"(?s)ImageNet.*Cityscapes.*checks"),
    "tst-fast doctor --config digits": (NETWORKS, "share of time"),
    "tst-fast train --config digits --dry_run": (NETWORKS, DRY_ENDS),
}  # fmt: skip
"""Command to what is appended to it, and what its output must hold. None: nothing is appended."""

NOT_HERE = {
    r"make (run|test|bench|docs)( .*)?": "installs, or takes many minutes; run by CI and by those who measure",
    r"(APEX_\w+=1 )*pip install .*": "changes the environment; tests/test_packaging.py builds and installs both",
    r"tst-fast table .*": "takes days; tests/tst_fast/commands/test_table.py makes one of small runs",
    r"python -m benchmarks\.report": "writes the pages; tests/benchmarks/test_report.py compares",
    r"timeout .*": "takes an hour; tests/tst_fast/run/test_interruption.py and test_parallel_runs.py stop such runs",
    r"(docker|mkdir --parents runs) .*|nvidia-smi|python -c .*cuda.*": "needs a container engine or a GPU",
    r"(?s)#!/bin/bash\n#SBATCH.*|srun .*|sbatch .*|torchrun .*|accelerate launch .*--num_(machines|processes) .*":
        "needs SLURM, several GPUs or several machines",
}  # fmt: skip
"""Commands that are not run, and why."""

SHOWN = {command for page in PAGES for command in commands(page)}


def is_not_here(command: str) -> bool:
    return any(re.fullmatch(pattern, command) for pattern in NOT_HERE)


def test_every_command_of_the_pages_is_run_or_said_not_to_be():
    assert {command for command in SHOWN if command not in RUN and not is_not_here(command)} == set()
    assert set(RUN) - SHOWN == set()
    assert len(SHOWN) >= 40


def test_settings_of_the_commands_that_are_not_run_exist():
    """And those that text names, wherever; --data.NAME stands for any."""
    known = set(reading.settings_of(Config()))
    named = {
        flag
        for page in PAGES
        for flag in re.findall(
            r"--((?:data|policy|loss|teacher|student|\w+_training)\.[\w.]+)", page.read_text("utf-8")
        )
    }
    groups = {name.rpartition(".")[0] for name in known}
    assert {flag for flag in named if flag.rstrip(".") not in known | groups and not flag.endswith(".NAME")} == set()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder like a checkout, with what the commands name in it: data, a teacher, a finished run."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("tst_fast", "examples", "docs", "benchmarks", "kernels"):
        (folder / name).symlink_to(ROOT / name)
    make_all(folder)
    torch.manual_seed(0)
    teacher = build_model("torchvision/resnet34", 2, {})
    save_weights(teacher, folder / "teacher.safetensors", "torchvision/resnet34", ["cat", "dog"])
    shell(f"tst-fast train --config digits {SHORT} --output runs", folder)
    (run,) = (folder / "runs").iterdir()
    (folder / "RUN").symlink_to(run)
    page = (ROOT / "docs" / "own_code.md").read_text(encoding="utf-8")
    (folder / "mine.py").write_text(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0], encoding="utf-8")
    return folder


def shell(command: str, folder: Path) -> str:
    """What a command prints, errors too, with the interpreter's own programs first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": PACKAGES, "OMP_NUM_THREADS": "1", "COLUMNS": "120",
                   "ACCELERATE_USE_CPU": "true"}  # fmt: skip
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    process = subprocess.Popen(["bash", "-c", command], cwd=folder, env=environment, **pipes)
    try:
        return process.communicate(timeout=400)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"still running after 400 s: {command}")


@pytest.mark.long
@pytest.mark.parametrize("command", RUN)
def test_it_prints_what_it_should(command, place):
    appended, expected = RUN[command]
    output = shell(f"{command} {appended or ''}", place)
    assert re.search(expected, output), output[-3000:]
    assert "Traceback" not in output, output[-3000:]
