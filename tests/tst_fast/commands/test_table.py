"""A group's table: runs are begun, continued or found, and what they found is in it."""

import json

import pytest

from tests.tst_fast.recording import record_batches
from tests.tst_fast.stopping import stop_after
from tst_fast.commands import table
from tst_fast.commands.groups import GROUPS, Row
from tst_fast.config import reading
from tst_fast.run.loop import Run

ARMS = ["--arms", "KD, untrained policy", "TST"]


@pytest.mark.parametrize("group", GROUPS)
def test_every_row_is_a_preset_that_can_be_run(group, tmp_path):
    names = [row.name for row in GROUPS[group]]
    assert len(set(names)) == len(names) > 1
    for row in GROUPS[group]:
        config = reading.from_flags(["--config", row.preset, *row.flags, f"--data.root={tmp_path}"])
        for flag in row.flags:
            key, _, value = flag.removeprefix("--").partition("=")
            assert str(reading.settings_of(config)[key]) == value


def test_published_figures_are_plausible():
    """A teacher is above its student alone; distilled students are about between them."""
    for row in (row for rows in GROUPS.values() for row in rows if {"teacher", "student"} <= row.published.keys()):
        scores = row.published
        assert scores["teacher"] > scores["student"] > 20
        assert all(scores["student"] - 0.5 < scores[name] < scores["teacher"] + 1.5 for name in scores), row.name


@pytest.fixture
def group(monkeypatch, tiny_flags):
    """Of two rows that differ in a number."""
    short = "--teacher_training.epochs=1", "--student_training.epochs=2", "--policy.search_epochs=1"
    flags = [flag for flag in (*tiny_flags, *short) if not flag.startswith("--config")]
    rows = (
        Row("digits", (*flags, "--policy.operations_per_image=2"), "two", {"teacher": 99.0, "DKD": 97.5}),
        Row("digits", (*flags, "--policy.operations_per_image=3"), "three"),
    )
    monkeypatch.setitem(GROUPS, "digits", rows)
    return rows


@pytest.fixture
def begun(monkeypatch):
    """The folders of the runs that were begun or continued."""
    folders, run = [], Run.run
    monkeypatch.setattr(Run, "run", lambda self: folders.append(self.folder) or run(self))
    return folders


def test_a_table_is_made_in_parts_and_its_runs_are_not_made_twice(group, begun, tmp_path, capsys):
    words = ["digits", "--seeds=2", "--folder", str(tmp_path), "--arms", "TST"]
    table.main([*words, "--part=2/2"])
    assert {folder.parent.name for folder in begun} == {"three"} and len(begun) == 1 + 2  # the teacher first
    assert "nothing yet of two" in capsys.readouterr().out
    table.main(words)
    assert [folder.parent.name for folder in begun[3:]] == ["two"] * 3
    table.main([*words, "--data.threads=1"])  # which changes nothing of what a run computes
    assert len(begun) == 6
    results = [json.loads((tmp_path / "two" / f"tst-seed{seed}" / "result.json").read_text()) for seed in (0, 1)]
    scores = [result["student"]["accuracy"] for result in results]
    assert json.loads((tmp_path / "table.json").read_text())["two"]["arms"]["TST"]["runs"] == scores
    one, other = (100 * score for score in scores)
    teacher = 100 * results[0]["teacher"]["accuracy"]
    cells = [cell.strip() for cell in (tmp_path / "table.md").read_text().splitlines()[2].split("|")[1:-1]]
    assert cells[:3] == ["two", "accuracy", f"{teacher:.2f}"] and cells[-2:] == ["99.00", "97.50"]
    assert cells[3] == f"{(one + other) / 2:.2f} ± {abs(one - other) / 2**0.5:.2f}"
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_a_run_that_was_stopped_is_continued_to_the_same_bits(group, begun, tmp_path):
    words = ["digits", "--seeds=1", "--part=1/2", *ARMS]
    table.main([*words, "--folder", str(tmp_path / "whole")])
    with stop_after(4 + 8 + 4 + 2), pytest.raises(SystemExit, match="Stopped"):
        table.main([*words, "--folder", str(tmp_path / "stopped")])
    stopped = begun[-1]
    assert list(stopped.glob("checkpoints/*.pt"))
    with record_batches() as batches:
        table.main([*words, "--folder", str(tmp_path / "stopped")])
    assert begun.count(stopped) == 2 and len(batches) == 6  # of 12, the search's last two and the second epoch
    for arm in ("kd-untrained-policy-seed0", "tst-seed0"):
        one, other = (tmp_path / name / "two" / arm / "student.safetensors" for name in ("whole", "stopped"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digit"], "no group 'digit'; did you mean 'digits'"),
        (["digits", "--part=3/2"], "--part 3/2: give K/N"),
        (["digits", "--arms", "TTS"], "--arms: no arm 'TTS'; did you mean 'TST'"),
        (["digits", "--seeds=0"], "--seeds is 0"),
        (["digits", "--config=scenes"], "leave --config out"),
        (["digits", "--policy.search_epoch=3"], "search_epochs"),
        (["coco"], "data.root"),
    ],
)
def test_mistakes_are_told_before_anything_runs(words, message, group, begun, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        table.main(words)
    assert begun == [] and list(tmp_path.iterdir()) == []


def test_a_folder_with_runs_of_other_settings_is_refused(group, begun, tmp_path):
    words = ["digits", "--seeds=1", "--part=1/2", "--folder", str(tmp_path), "--arms", "KD"]
    table.main(words)
    with pytest.raises(SystemExit, match=r"teacher holds a run of other settings \(loss\.tau\)"):
        table.main([*words, "--loss.tau=3"])
    assert len(begun) == 2
    content = json.loads((tmp_path / "two" / "compare.json").read_text())
    assert len(content["runs"]["KD"]) == 1  # what was found is still there


def test_a_folder_that_cannot_be_written_is_refused_at_once(group, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"^error: --folder .*file cannot be written to: not a directory$"):
        table.main(["digits", "--folder", str(tmp_path / "file")])


def test_a_part_may_have_no_pair(group, begun, tmp_path):
    table.main(["digits", "--part=3/3", "--folder", str(tmp_path / "new"), "--seeds=1"])
    assert begun == [] and json.loads((tmp_path / "new" / "table.json").read_text()) == {}
