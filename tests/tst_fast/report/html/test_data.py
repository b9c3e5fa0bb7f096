"""What is read of a run's folder: whole, killed, half written; and what is refused."""

import json

import pytest

from tests.tst_fast.report.html.folders import MadeUp, compare
from tst_fast.errors import UserError
from tst_fast.report.html.data import read_folders


def test_the_course_of_the_policy_counts_the_steps_of_its_passes_alone(tmp_path):
    (run,), _ = read_folders([MadeUp(searches=3, epochs=5, steps=7).write(tmp_path / "run")])
    trajectory = run.policy_trajectory()
    assert trajectory.steps == [0, 7, 14, 21]
    assert trajectory.operations["Rotate"].probabilities == pytest.approx([0.5, 0.5 - 0.1 / 3, 0.5 - 0.2 / 3, 0.4])
    assert trajectory.operations["Rotate"].magnitudes == [15, 7.5, 7.5, 7.5]
    assert (trajectory.operations["Rotate"].unit, trajectory.operations["Rotate"].signed) == ("degrees", True)
    assert trajectory.operations["Invert"].magnitudes == trajectory.operations["Invert"].levels == []


def test_of_a_killed_run_the_course_begins_after_the_first_pass(tmp_path):
    (run,), _ = read_folders([MadeUp(ended=False, steps=7).write(tmp_path / "run")])
    trajectory = run.policy_trajectory()
    assert trajectory.steps == [7, 14]
    assert trajectory.operations["Rotate"].probabilities == pytest.approx([0.45, 0.4])
    assert (trajectory.operations["Rotate"].unit, trajectory.operations["Rotate"].signed) == ("degrees", True)
    assert (run.result, run.policy, run.headline()) == (None, None, "top1")


def test_half_a_file_is_no_file(tmp_path):
    folder = MadeUp().write(tmp_path / "run")
    whole = len(read_folders([folder])[0][0].events)
    for name in ("metrics.jsonl", "result.json", "policy.json"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) - 20])
    (folder / "config.yaml").write_text("name: [half")
    (run,), _ = read_folders([folder])
    assert len(run.events) == whole - 1
    assert (run.result, run.policy, run.config, run.config_text) == (None, None, {}, "name: [half")


def test_links_in_a_circle_are_no_run(tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(UserError, match="circle is no run's folder"):
        read_folders([tmp_path / "circle"])


def test_real_runs_are_read(whole_run):
    (run,), _ = read_folders([whole_run.folder])
    trajectory = run.policy_trajectory()
    learned = json.loads((whole_run.folder / "policy.json").read_text())
    assert trajectory.steps == [0, 4, 8]
    for row in learned["operations"]:
        assert trajectory.operations[row["operation"]].probabilities[-1] == row["probability"]
    assert run.evaluations("student")[-1].scores == whole_run.result["student"]


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    folders = [MadeUp().write(tmp_path / parent / "run") for parent in "ab"]
    assert [run.label for run in read_folders(folders)[0]] == ["a/run", "b/run"]
    compared = [compare(tmp_path / name, {"TST": [0.5]}, [("TST", "TST")]) for name in "cd"]
    assert [one.runs["TST"][0].label for one in read_folders(compared)[1]] == ["c: TST, seed 0", "d: TST, seed 0"]
    assert read_folders(compared[:1])[1][0].runs["TST"][0].label == "TST, seed 0"
    with pytest.raises(UserError, match="given twice"):
        read_folders([folders[0], folders[0]])


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"nothing is no run's folder.*no metrics\.jsonl"):
        read_folders([tmp_path / "nothing"])
    folder = compare(tmp_path / "c", {"TST": [0.5], "KD": [0.4]}, [("TST", "KD")])
    content = json.loads((folder / "compare.json").read_text())
    (folder / "compare.json").write_text(json.dumps({**content, "version": 1}))
    with pytest.raises(UserError, match=r"compare\.json is no comparison that this program knows \(version 2\)"):
        read_folders([folder])
