"""The benchmark of steps: each arm has its row, its stages and floors are those of the step, peers do the same work."""

import json
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks import blocks, charts, loaders
from benchmarks.operators import Work, work_of
from benchmarks.training import pairs
from benchmarks.training.arms import (
    KD,
    KEPT,
    KORNIA,
    LOADED,
    OWN,
    PEERS,
    SEARCH,
    STUDENT,
    TORCHVISION,
    WORKERS,
    own_arms,
    peers_arms,
)
from benchmarks.training.floors import Rates, measure_rates
from benchmarks.training.measure import Effort, keys_of, measure_pair
from benchmarks.training.memory import step_mebibytes
from benchmarks.training.pairs import PAIRS, SECOND_CROPS, Pair, Precision, data_flags, open_session
from benchmarks.training.stages import STAGES, watched
from tst_fast.policy.augmenter import Augmenter
from tst_fast.run.stopwatch import Stopwatch

CPU, SMALL = torch.device("cpu"), ["--data.batch_size", "8"]
DIGITS = next(pair for pair in PAIRS if pair.preset == "digits")
BATCH = 8


@pytest.fixture(scope="module")
def rows():
    """Of the digits' pair, by arm."""
    effort = Effort(rounds=2, seconds=0.0, workers=1)
    measured = measure_pair(DIGITS, Precision(), CPU, SMALL, Rates(1e9, 1e9), effort, keys_of(DIGITS))
    return {(row["step"], row["data"]): row for row in measured}


def test_every_arm_has_a_row(rows):
    assert list(rows) == [*OWN, *PEERS]
    missing = {key for key, row in rows.items() if "note" in row}
    assert missing == ({(KORNIA, KEPT)} if find_spec("kornia") is None else set())
    for (step, _), row in ((key, row) for key, row in rows.items() if key not in missing):
        assert row["images"] == (BATCH if step == SEARCH else 2 * BATCH) and row["batch"] == BATCH
        assert row["lowest"] <= row["images_per_second"] <= row["highest"]
        assert row["images_per_second"] == pytest.approx(1e3 * row["images"] / row["milliseconds"])
    student, ceiling = rows[STUDENT, LOADED], rows[KD, LOADED]
    assert student["ratio_to_kd"] == student["images_per_second"] / ceiling["images_per_second"]
    assert "ratio_to_kd" not in rows[SEARCH, KEPT]


STEPS = {
    (KD, KEPT): {"teacher", "student", "backward", "optimizer"},
    (STUDENT, KEPT): {"augmentation", "teacher", "student", "backward", "optimizer"},
    (SEARCH, KEPT): {"augmentation", "teacher", "student", "backward", "policy"},
    (KORNIA, KEPT): {"augmentation", "teacher", "student", "backward", "optimizer"},
}


@pytest.mark.parametrize("key", STEPS, ids=str)
def test_a_step_has_its_own_stages_and_no_others(rows, key):
    row = rows[key]
    if "note" in row:
        pytest.skip(row["note"])
    stages = {stage: row[f"{stage}_ms"] for stage in STAGES if f"{stage}_ms" in row}
    assert stages.keys() - {"data"} == STEPS[key]
    assert sum(stages.values()) > 0 and row["rest_ms"] == pytest.approx(row["milliseconds"] - sum(stages.values()))
    assert stages["teacher"] > stages["student"]  # of 32-64-128 channels, and of 4-8-16


def test_a_search_computes_no_gradient_of_weights(rows):
    """A convolution's gradient of images costs as much as its forward pass, and one of weights would cost it again."""
    assert rows[SEARCH, KEPT]["gigaflops_per_image"] == pytest.approx(2 * _forward_gigaflops(), rel=1e-6)
    assert rows[KD, KEPT]["gigaflops_per_image"] == rows[STUDENT, KEPT]["gigaflops_per_image"]


def _forward_gigaflops():
    """Of both networks on an image of 32 x 32, counted by hand."""
    total = 0
    for channels in ((3, 32, 64, 128), (3, 4, 8, 16)):
        sizes = zip(channels, channels[1:], (32, 16, 8), strict=False)
        total += sum(2 * 9 * before * after * side**2 for before, after, side in sizes) + 2 * channels[-1] * 10
    return total / 1e9


def test_operations_and_bytes_of_a_linear_layer():
    layer, rows = nn.Linear(5, 7, bias=False), torch.rand(3, 5)
    with torch.no_grad():
        work = work_of(lambda: layer(rows).view(-1)[2:])
    assert work.total_flops == 2 * 3 * 5 * 7
    assert work.total_bytes == 4 * (3 * 5 + 5 * 7 + 3 * 7)


def test_floors_are_work_over_rates():
    columns = Rates(flops=1e9, bytes=1e8).columns(Work([5e8, 0.0], [0.0, 1e7]), 2.0, images=10)
    assert columns["arithmetic_floor_ms"] == 500 and columns["arithmetic_share"] == 0.25
    assert columns["memory_floor_ms"] == 100 and columns["memory_share"] == 0.05
    assert columns["gigaflops_per_image"] == 0.05 and columns["megabytes_per_image"] == 1


def test_rates_are_of_this_machine():
    rates = measure_rates(CPU, torch.float32)
    assert 1e9 < rates.flops < 1e14 and 1e8 < rates.bytes < 1e13


def test_memory_is_what_a_step_takes_at_most():
    found = step_mebibytes(lambda: torch.ones(2**24).mul_(2), CPU)
    if found is None:
        pytest.skip("this system does not tell")
    assert 60 < found < 90  # 64, and what runs beside it


def test_peers_show_augmented_images_and_then_plain_ones_with_the_same_labels():
    with closing(open_session(DIGITS, Precision(), CPU, [*SMALL, *SECOND_CROPS])) as kd:
        seen = []
        kd.learners.student.step = seen.append
        for arm in peers_arms(kd, Stopwatch(CPU), workers=0):
            if arm.missing is None:
                with closing(arm.batches()) as batches:
                    batch = next(batches)
                    arm.step(batch)
    assert seen
    for batch in seen:
        augmented, plain = batch.images.double().chunk(2)
        assert not torch.equal(augmented, plain) and plain.std() > 0
        assert torch.equal(*batch.labels.chunk(2)) and len(batch) == 2 * BATCH


@pytest.mark.parametrize(("kind", "classes", "files"), [("tiles", 7, 20), ("photographs", 30, 20)])
def test_every_class_has_an_image_of_those_that_are_made(tmp_path, monkeypatch, kind, classes, files):
    monkeypatch.setattr(pairs, "TILES", files)
    monkeypatch.setattr(loaders, "MADE", files)
    monkeypatch.setattr(pairs, "HAS_DALI", True)
    flags = data_flags(Pair("resnet32x4-resnet8x4", 4, kind, classes), {}, tmp_path)
    values = dict(zip(flags[::2], flags[1::2], strict=True))
    lines = [line.rsplit(" ", 1) for line in Path(values["--data.train"]).read_text().splitlines()]
    assert {int(label) for _, label in lines} == set(range(classes))
    assert len({name for name, _ in lines}) == files
    with Image.open(Path(values["--data.root"]) / lines[0][0]) as image:
        assert image.size == (32, 32) if kind == "tiles" else image.size in ((500, 375), (375, 420))


def test_photographs_give_way_to_random_images_without_dali(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "HAS_DALI", False)
    flags = [*data_flags(PAIRS[0], {}, tmp_path), "--data.image_size", "32", "--data.resize", "32", *SMALL]
    with closing(open_session(PAIRS[0], Precision(), CPU, flags)) as tst:
        arms = {arm.key: arm.missing for arm in own_arms(tst, tst)}
    assert {key for key, missing in arms.items() if missing == "DALI is not installed"} == {
        (KD, LOADED),
        (STUDENT, LOADED),
    }


def test_a_chart_is_drawn_of_steps_alone(rows, tmp_path):
    file = tmp_path / "steps.png"
    assert charts.draw_steps([*rows.values(), {"note": "another"}], file)
    with Image.open(file) as image:
        assert image.width == 900 and image.height > 250  # of six or seven bars
    assert not charts.draw_steps([{"name": "mix", "milliseconds": 1.0}], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_readmes_block_compares_with_kd(rows, tmp_path, monkeypatch):
    about = {"gpu": None, "threads": 2, "processor": "EPYC", "rounds": 2, "versions": {"torch": "2.14.1"}}
    (tmp_path / "training-cpu.json").write_text(json.dumps(about | {"rows": list(rows.values())}))
    monkeypatch.setattr(blocks, "FOLDER", tmp_path)
    cells = [cell.strip() for cell in blocks.BLOCKS["training"]().splitlines()[2].split("|")[1:-1]]
    rate = {key: row.get("images_per_second") for key, row in rows.items()}
    assert cells[0] == "digits"
    assert cells[2] == f"{rate[STUDENT, KEPT] / rate[KD, KEPT]:.2f}"
    assert cells[3] == f"{rate[STUDENT, LOADED] / rate[KD, LOADED]:.2f}"
    assert cells[5] == f"{rate[TORCHVISION, WORKERS] / rate[KD, KEPT]:.2f}"
    assert float(cells[7]) == pytest.approx(
        rows[SEARCH, KEPT]["milliseconds"] / rows[STUDENT, KEPT]["milliseconds"], abs=0.006
    )


def test_nothing_stays_watched():
    with closing(open_session(DIGITS, Precision(), CPU, SMALL)) as session:
        before = Augmenter.apply, torch.Tensor.backward, type(session.student), session.student.forward
        with watched([session], Stopwatch(CPU)):
            assert Augmenter.apply is not before[0] and type(session.student) is not before[2]
        assert (Augmenter.apply, torch.Tensor.backward, type(session.student), session.student.forward) == before
