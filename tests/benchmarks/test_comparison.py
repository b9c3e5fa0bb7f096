"""The comparison in parts: what is written of runs in any order, and a stop that the same command goes on from."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.comparison import read, result_of, write
from benchmarks.markdown import markdown

ROOT = Path(__file__).parents[2]


def run(seed, score, best, choice=0):
    student = {"student": {"accuracy": score}, "student_best": {"accuracy": best}, "teacher": {"accuracy": 0.9}}
    about = {"metric": "accuracy", "seed": seed, "fraction_seed": choice, "wall_seconds": 30.0, "probabilities": {}}
    return about | student


@pytest.mark.parametrize(
    ("kd", "tst", "seeds", "is_complete"), [([0, 1], [0, 1], [0, 1], True), ([0, 1], [1], [1], False)]
)
def test_seeds_count_that_every_arm_has_been_run_with(kd, tst, seeds, is_complete, tmp_path):
    runs = {"KD": [run(seed, 0.5 + seed / 8, 0.75) for seed in kd], "TST": [run(seed, 0.625, 0.875) for seed in tst]}
    found = {"plan": {"seeds": [0, 1], "fraction_seeds": [0]}, "metric": "accuracy", "runs": runs}
    (tmp_path / "compare.json").write_text(json.dumps(found))
    options = Namespace(folder=tmp_path, json=tmp_path / "result" / "file.json")
    assert write(options, {"gpu": "H100"}, {"ACCELERATE_MIXED_PRECISION": "bf16"}) == is_complete
    written = json.loads(options.json.read_text())
    assert written["arms"]["KD"]["last"]["runs"] == [0.5 + seed / 8 for seed in seeds]
    assert written["arms"]["TST"]["best"]["runs"] == [0.875] * len(seeds)
    assert (written["gpu"], written["precision"], written["teacher"]) == ("H100", "bf16", 0.9)
    assert written["minutes_of_runs"] == (len(kd) + len(tst)) / 2
    assert "| TST | 62.50" in markdown(written)


def test_a_seed_counts_once_it_has_been_run_with_each_choice_of_images(tmp_path):
    runs = {"KD": [run(0, 0.5, 0.5), run(0, 0.6, 0.6, choice=1)], "TST": [run(0, 0.7, 0.7)]}
    found = {"plan": {"seeds": [0], "fraction_seeds": [0, 1]}, "metric": "accuracy", "runs": runs}
    options = Namespace(folder=tmp_path, json=tmp_path / "file.json")
    for is_complete in (False, True):
        (tmp_path / "compare.json").write_text(json.dumps(found))
        assert write(options, {}, {}) == options.json.exists() == is_complete
        runs["TST"].append(run(0, 0.8, 0.8, choice=1))
    assert json.loads(options.json.read_text())["arms"]["TST"]["last"]["runs"] == [0.7, 0.8]


def test_what_the_seeds_of_an_arm_learned():
    untrained, one, other = [0.5, 0.5, 0.5], [0.9, 0.2, 0.6], [0.7, 0.1, 0.8]
    names = ["Color", "Invert", "Rotate"]

    def runs(*policies):
        return [
            run(seed, 0.5, 0.5) | {"probabilities": dict(zip(names, row, strict=True))}
            for seed, row in enumerate(policies)
        ]

    arms = {
        "KD": [run(0, 0.5, 0.5), run(1, 0.5, 0.5)],
        "untrained": runs(untrained, untrained),
        "TST": runs(one, other),
    }
    arms = result_of({"metric": "accuracy", "plan": {"seeds": [0, 1]}, "runs": arms}, [0, 1])["arms"]
    assert [set(arm) - {"last", "best"} for arm in arms.values()] == [set(), set(), {"agreement", "probabilities"}]
    assert arms["TST"]["agreement"] == pytest.approx(np.corrcoef(one, other)[0, 1])
    assert arms["TST"]["probabilities"] == pytest.approx(dict(zip(names, np.mean([one, other], axis=0), strict=True)))
    assert "| TST | 0.84 | Color 0.80, Rotate 0.70, Invert 0.15 |" in markdown({"arms": arms})


def test_nothing_is_written_before_a_seed_is_whole(tmp_path):
    options = Namespace(folder=tmp_path, json=tmp_path / "file.json")
    assert not write(options, {}, {})
    runs = {"KD": [run(0, 0.5, 0.5)], "TST": []}
    (tmp_path / "compare.json").write_text(
        json.dumps({"plan": {"seeds": [0], "fraction_seeds": [0]}, "metric": "accuracy", "runs": runs})
    )
    assert not write(options, {}, {}) and not options.json.exists()


def test_settings_of_a_comparison_are_passed_on(tmp_path):
    options, settings = read(["--cifar", "X", "--json", "Y", "--jobs=2", "--loss.tau", "3"])
    assert (options.jobs, options.seeds, settings) == (2, 3, ["--loss.tau", "3"])


@pytest.mark.long  # a minute and a half of a core
def test_a_comparison_whose_time_was_up_goes_on(tmp_path):
    for split, digit in ((split, digit) for split in ("train", "test") for digit in range(10)):
        folder = tmp_path / "cifar" / split / str(digit)
        folder.mkdir(parents=True)
        pixels = np.random.default_rng(digit).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
        for number, image in enumerate(pixels):
            Image.fromarray(image).save(folder / f"{number}.png")
    networks = (
        "--teacher.name=convnet",
        "--student.name=convnet",
        "--data.batch_size=10",
        "--teacher_training.epochs=1",
    )
    epochs = (
        "--student_training.epochs=30",
        "--policy.search_at=[9]",
        "--policy.search_epochs=1",
        "--evaluate_every=30",
    )
    sizes = ("--jobs=2", "--seeds=1", "--folder", tmp_path / "runs", "--cifar", tmp_path / "cifar")
    command = [sys.executable, "-m", "benchmarks.comparison", "--json", tmp_path / "result.json", *sizes]
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "kernels", ROOT / "pipelines")))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    options = {"env": environment, "cwd": ROOT, "capture_output": True, "text": True, "timeout": 300}
    first = subprocess.run([*command, *networks, *epochs, "--minutes=0.4"], **options)
    assert first.returncode == os.EX_TEMPFAIL, first.stdout + first.stderr
    assert "the same command goes on" in first.stderr and not (tmp_path / "result.json").exists()
    assert (tmp_path / "runs" / "teacher" / "result.json").exists()
    second = subprocess.run([*command, *networks, *epochs], **options)
    assert second.returncode == 0, second.stdout + second.stderr
    written = json.loads((tmp_path / "result.json").read_text())
    assert list(written["arms"]) == ["KD", "KD, untrained policy", "TST"] and written["seeds"] == [0]
