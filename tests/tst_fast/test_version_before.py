"""What version 0.1.0 left: a run that was stopped before its last pass.

Its policy is read. Its configuration is, once a setting has its new name; its checkpoints are refused.
"""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tst_fast.config import reading
from tst_fast.errors import UserError
from tst_fast.policy.file import PolicyFile
from tst_fast.run.checkpoint import load_newest
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
    with pytest.raises(SystemExit, match=r"^error: .*config.yaml lacks \d+ settings .* or of another version"):
        main(["--resume", str(run)])
    with pytest.raises(UserError, match=r"checkpoint .*00009-0000000\.pt has version 1, this program reads 3$"):
        load_newest(run / "checkpoints")
    assert (run / "metrics.jsonl").read_bytes() == before
