"""Runs of two processes: they end alike, and go on in one process, or one process in two, with the same batches."""

import json
from pathlib import Path

import pytest

from tests.tst_fast.processes import only, output_of_ranks
from tests.tst_fast.recording import record_batches
from tests.tst_fast.schedules import SCHEDULES
from tst_pipelines import DataError

PROGRAM = str(Path(__file__).with_name("two_processes.py"))


@pytest.mark.parametrize("options", [(), SCHEDULES["interleaved, and every option"]], ids=["plain", "every option"])
def test_two_processes_agree(tmp_path, tiny_flags, options):
    """Each rank ends with the same student, connector, policy and encoders; the evaluation counts each image once."""
    features = "--loss.features=[{student: features.3, teacher: features.7}]"
    neural = "--policy.prior=encoder", "--policy.encoder_steps=3"
    output = output_of_ranks([PROGRAM, *tiny_flags, features, *neural, *options, f"--output={tmp_path / 'runs'}"])
    assert output.count("teacher epoch 1 of 2, step 1 of 8: ") == 1  # one of them says it
    result = json.loads((only(tmp_path / "runs") / "result.json").read_text())
    assert result["processes"] == 2
    assert round(result["student"]["accuracy"] * 1397, 6) % 1 == 0


@pytest.fixture
def batches_of_one_process(whole_run):
    """Of a run that nothing stops."""
    return [(who, sorted(images)) for who, images in whole_run.batches]


def _global_batches(folder):
    """What both processes together learned from, update by update."""
    ranks = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]
    for (who, first), (other, second) in zip(*ranks, strict=True):
        assert who == other and len(first) == len(second) == 50
        yield who, sorted(first + second)


# Of 8 updates of the teacher, 4 of the student, 8 of the policy and 8 of the student, in this order; a checkpoint after
# every second one of a pass.
STOP, KEPT = 23, 22


def test_a_run_of_two_processes_continues_in_one(batches_of_one_process, tmp_path, tiny_flags, whole_run, make_run):
    """Within an epoch of the student: the images that it has not seen yet, in the batches of one process."""
    arguments = f"--stop_after={STOP}", f"--batches={tmp_path}", f"--output={tmp_path / 'runs'}"
    output_of_ranks([PROGRAM, *arguments, *tiny_flags])
    assert list(_global_batches(tmp_path)) == batches_of_one_process[:STOP]
    folder = only(tmp_path / "runs").relative_to(tmp_path)
    refusing = make_run(whole_run.config, folder)
    with pytest.raises(DataError, match=r"batch size 50, now 100; world size 2, now 1: .* elastically") as refused:
        refusing.resume()
    refusing.close()  # which holds the folder
    assert refused.value.options == ("elastic",)  # which the commands show as the flag
    resumed = make_run(whole_run.config, folder)
    resumed.resume(elastic=True)
    with record_batches() as batches:
        result = resumed.run()
    assert [(who, sorted(images)) for who, images in batches] == batches_of_one_process[KEPT:]
    assert result["processes"] == 1 and [score["epoch"] for score in resumed.progress.student_scores] == [0, 1, 2]


def test_a_run_of_one_process_continues_in_two(batches_of_one_process, tmp_path, whole_run, stop_run):
    folder = stop_run(whole_run.config, STOP)
    (tmp_path / "batches").mkdir()
    output_of_ranks([PROGRAM, f"--batches={tmp_path / 'batches'}", f"--resume={folder}", "--elastic"])
    assert list(_global_batches(tmp_path / "batches")) == batches_of_one_process[KEPT:]
    assert json.loads((folder / "result.json").read_text())["processes"] == 2
