"""What version 0.1.0 left: a run stopped before its last pass, and what it made when nothing stopped it.

Its policy is read. Its configuration is, once a setting has its new name; its checkpoints are refused.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tst_fast.config import reading
from tst_fast.errors import UserError
from tst_fast.policy.file import PolicyFile
from tst_fast.train import main

STORED = Path(__file__).parent / "version_0_1_0"


@pytest.fixture
def renamed(tmp_path):
    """Its configuration, with the new name of the only setting that has one."""
    file = tmp_path / "renamed.yaml"
    file.write_text((STORED / "config.yaml").read_text().replace("expected_accuracy:", "expected_score:"))
    return file


def _within(part, whole):
    """Whether every value of nested dictionaries is in others."""
    if isinstance(part, dict):
        return all(key in whole and _within(value, whole[key]) for key, value in part.items())
    return part == whole


def test_its_configuration_means_the_same(renamed, tmp_path):
    with pytest.raises(UserError, match=r"expected_accuracy'; did you mean '\w+.expected_score'"):
        reading.load(STORED / "config.yaml")
    reading.save(reading.load(renamed), tmp_path / "config.yaml")
    old, new = (yaml.safe_load(file.read_text()) for file in (renamed, tmp_path / "config.yaml"))
    assert _within(old, new)


def test_its_policy_is_read(tmp_path):
    PolicyFile.read(STORED / "policy.json").write(tmp_path / "policy.json")
    old, new = (json.loads((folder / "policy.json").read_text()) for folder in (STORED, tmp_path))
    assert _within(old, new)


def test_its_run_is_not_continued(renamed, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(STORED, run)
    shutil.copy(renamed, run / "config.yaml")
    before = (run / "metrics.jsonl").read_bytes()
    with pytest.raises(SystemExit, match=r"^error: checkpoint .*\.pt has version 1, this program reads 2$"):
        main(["--resume", str(run)])
    assert (run / "metrics.jsonl").read_bytes() == before


def test_its_run_comes_to_the_same_end_now(renamed, tmp_path):
    main(["--config", str(renamed), f"--output={tmp_path / 'runs'}"])
    (run,) = (tmp_path / "runs").iterdir()
    # Up to what 40 steps make of the arithmetic of another machine; other random numbers move weights by 0.01.
    ours, stored = (load_file(folder / "student.safetensors") for folder in (run, STORED))
    torch.testing.assert_close(ours, stored, atol=2e-3, rtol=1e-2)
    old, new = (PolicyFile.read(folder / "policy.json") for folder in (STORED, run))
    for before, after in zip(old.operations, new.operations, strict=True):
        assert after.operation == before.operation
        assert after.probability == pytest.approx(before.probability, abs=0.01)
        assert after.level == pytest.approx(before.level, abs=0.01)
    assert new.provenance["student"]["scores"]["accuracy"] == pytest.approx(
        old.provenance["student"]["accuracy"], abs=0.01
    )
