"""The examples of docs/extending.md do what the page says, put where it says."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from tests.docs.pages import ROOT, blocks
from tst_fast.config import reading
from tst_fast.losses import distillation
from tst_fast.losses.search import total
from tst_fast.models import cifar
from tst_fast.models.build import build_model
from tst_fast.tasks.task import Task
from tst_pipelines import ArrayDataset, Batch, CachedLoader, Loader, PadAndCrop, Share
from tst_pipelines.position import PositionedLoader

PAGE = ROOT / "docs/extending.md"
LOSS, MODEL, OPERATION, LOADER = blocks(PAGE, "python")


def test_the_loss_is_known_and_weighed(monkeypatch):
    names = {**vars(distillation), "total": total}
    exec(LOSS, names)
    monkeypatch.setattr(distillation, "LOSSES", names["LOSSES"])
    config = reading.from_flags(["--config", "digits", "--loss.name", "l1_distance", "--loss.tau", "2"])
    term = distillation.make_term(distillation.LOSSES[config.loss.name], False, vars(config.loss))
    student, teacher = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[3.0, 2.0], [4.0, 4.0]])
    assert term(student, teacher, torch.tensor([0, 1]), None).item() == pytest.approx((1 + 4) / 2 / 2)
    assert term(student, teacher, torch.tensor([0, 1]), torch.tensor([0.25, 0.5])).item() == pytest.approx(2.25 / 2)


def test_the_model_is_found_by_its_name(monkeypatch):
    names = {"nn": nn}
    exec(MODEL, names)
    for name, make in names["MODELS"].items():
        monkeypatch.setitem(cifar.MODELS, name, make)
    model = build_model("linear", 10, {})
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert sum(parameter.numel() for parameter in model.parameters()) == 10 * (3072 + 1)


def test_the_operation_works_on_the_torch_backend(tmp_path):
    """In a copy of the package, with the entry behind its table."""
    shutil.copytree(ROOT / "kernels/tst_kernels", tmp_path / "tst_kernels")
    file = tmp_path / "tst_kernels/operations.py"
    head, mark, tail = file.read_text(encoding="utf-8").partition("OPERATIONS: Mapping")
    file.write_text(f"{head}{OPERATION}\n\n{mark}{tail}", encoding="utf-8")
    program = """
import torch
from tst_kernels import OPERATIONS, apply
level = torch.tensor([0.5, 1.0], requires_grad=True)
result = apply(torch.full((2, 3, 4, 4), 0.8), "Darken", level, backend="torch")
result.sum().backward()
print(len(OPERATIONS), *(round(x, 4) for x in (*result[:, 0, 0, 0].tolist(), *level.grad.tolist())))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)},
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    # 0.8 (1 - 0.9 level), and over 48 pixels the slope -0.72.
    assert done.stdout.split() == ["16", "0.44", "0.08", "-34.56", "-34.56"], done.stderr


def test_the_loader_gives_what_another_gives_and_resumes():
    names = {"PositionedLoader": PositionedLoader, "torch": torch, "Batch": Batch}
    exec(LOADER, names)
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)
    dataset = ArrayDataset(images, np.arange(10) % 2, ("cat", "dog"), "made")
    share = Share(training=True, seed=3)
    loader, other = names["ArrayLoader"](dataset, 4, share), CachedLoader(dataset, PadAndCrop(8, 0, flip=0.0), 4, share)
    assert isinstance(loader, Loader)
    for _ in range(2):
        for found, expected in zip(loader, other, strict=True):
            assert torch.equal(found.images, expected.images) and torch.equal(found.labels, expected.labels)
    next(iter(loader))
    resumed = names["ArrayLoader"](dataset, 4, share)
    resumed.load_state_dict(loader.state_dict())
    assert np.array_equal(next(iter(resumed)).indices, next(iter(loader)).indices)


def test_a_task_has_the_members_that_the_page_lists():
    section = PAGE.read_text(encoding="utf-8").partition("## A task")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    listed = re.findall(r"`(\w+)`", " ".join(rows))
    members = {*(name for name in vars(Task) if not name.startswith("_")), *Task.__annotations__}
    assert sorted(listed) == sorted(members)


def test_the_files_that_it_names_are_there():
    named = re.findall(
        r"`((?:tst_fast|kernels|pipelines|tests|benchmarks|docs)/[\w/.]+)`", PAGE.read_text(encoding="utf-8")
    )
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name.replace("TASK/", "")).exists()] == []
