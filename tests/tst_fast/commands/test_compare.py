"""Each arm of the comparison, by what its student is shown, whom it learns from and what its policy learns."""

import json
from collections import Counter

import pytest
import torch
from accelerate import Accelerator

from tst_fast.commands.compare import ARMS, NEURAL_PRIOR, compare
from tst_fast.config import reading

CHANNELS = {4: "student", 8: "teacher"}

# Images in a step of 100, whether the teacher is asked about the same images, whether the policy learned, its prior.
SEEN = {
    "student alone": (100, False, False, "exact"),
    "KD": (100, True, False, "exact"),
    "KD, untrained policy": (200, True, False, "exact"),
    "TST": (200, True, True, "exact"),
    "TST, neural prior": (200, True, True, "encoder"),
}


@pytest.fixture
def forwards(monkeypatch):
    """Images of every forward pass: by the student in training mode, and by the teacher."""
    seen = {"student": [], "teacher": []}

    def record(module, inputs):
        role = CHANNELS.get(module.classifier.in_features) if hasattr(module, "classifier") else None
        if role == "teacher" or (role == "student" and module.training):
            images = inputs[0].detach()
            seen[role].append((len(images), images.double().sum().item()))

    handle = torch.nn.modules.module.register_module_forward_pre_hook(record)
    yield seen
    handle.remove()


@pytest.mark.parametrize("arm", SEEN)
def test_what_the_student_of_an_arm_is_shown(arm, whole_run, tiny_config, forwards, tmp_path):
    config = tiny_config(f"--teacher.checkpoint={whole_run.folder / 'teacher.safetensors'}", "--policy.encoder_steps=2")
    summary = compare(config, 2, tmp_path, Accelerator(cpu=True), {arm: (ARMS | NEURAL_PRIOR)[arm]})
    folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    configs = [reading.load(folder / "config.yaml") for folder in folders]
    assert [each.seed for each in configs] == [0, 1]
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    assert summary[arm]["last"]["runs"] == [result["student"]["accuracy"] for result in results]
    assert summary[arm]["best"]["runs"] == [result["student_best"]["accuracy"] for result in results]

    images, taught, learned, prior = SEEN[arm]
    assert Counter(size for size, _ in forwards["student"]) == {images: 2 * 12}  # two seeds, three epochs of four steps
    assert (set(forwards["student"]) <= set(forwards["teacher"])) == taught
    assert len(set(forwards["student"])) == 2 * 12  # each seed has images of its own order or making
    policies = [json.loads((folder / "policy.json").read_text())["operations"] for folder in folders]
    moved = [any(abs(row["probability"] - 0.5) > 1e-5 for row in rows) for rows in policies]
    assert moved == [learned] * 2
    assert {each.policy.prior for each in configs} == {prior}


def test_these_are_all_arms():
    assert list(ARMS | NEURAL_PRIOR) == list(SEEN)
