"""What version 0.1.0 left: a run stopped before its last pass, and what it made when nothing stopped it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tst_fast.config import reading
from tst_fast.policy.file import PolicyFile
from tst_fast.train import main

STORED = Path(__file__).parent / "version_0_1_0"


def _within(part, whole):
    """Whether every value of nested dictionaries is in others."""
    if isinstance(part, dict):
        return all(key in whole and _within(value, whole[key]) for key, value in part.items())
    return part == whole


def test_its_configuration_means_the_same(tmp_path):
    reading.save(reading.load(STORED / "config.yaml"), tmp_path / "config.yaml")
    old, new = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in (STORED, tmp_path))
    assert _within(old, new)


def test_its_policy_is_read(tmp_path):
    PolicyFile.read(STORED / "policy.json").write(tmp_path / "policy.json")
    old, new = (json.loads((folder / "policy.json").read_text()) for folder in (STORED, tmp_path))
    assert _within(old, new)


def test_its_run_is_continued_to_the_same_end(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(STORED, run, ignore=shutil.ignore_patterns("student.safetensors", "policy.json"))
    main(["--resume", str(run)])
    # Up to the arithmetic of another machine.
    torch.testing.assert_close(
        load_file(run / "student.safetensors"), load_file(STORED / "student.safetensors"), atol=1e-4, rtol=1e-3
    )
    old, new = (PolicyFile.read(folder / "policy.json") for folder in (STORED, run))
    assert new.operations == old.operations
    assert new.history == old.history
    events = [len((folder / "metrics.jsonl").read_text().splitlines()) for folder in (STORED, run)]
    assert events[0] == events[1]
    assert new.provenance["student"]["accuracy"] == pytest.approx(old.provenance["student"]["accuracy"], abs=0.01)
