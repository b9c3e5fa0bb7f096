"""How rates change with one thing at a time: what is changed, and that every step of it is measured."""

import json

import pytest

from benchmarks import blocks, scaling
from benchmarks.scaling import BATCHES, FIRST, main, rows_of, settings
from benchmarks.training.arms import KD, SEARCH, STUDENT
from benchmarks.training.floors import Rates
from tst_fast.config import reading

STEPS = [KD, STUDENT, SEARCH]


@pytest.mark.parametrize("pair", BATCHES)
def test_each_setting_differs_from_the_first_in_one_thing(pair):
    first, *others, last = settings(pair, threads=2, processes=4)
    assert first == last and first.name == FIRST
    assert len({one.name for one in (first, *others)}) == len(others) + 1
    base = reading.settings_of(reading.from_flags(["--config", pair, *first.flags]))
    for one in others:
        mine = reading.settings_of(reading.from_flags(["--config", pair, *one.flags]))
        changed = [key for key in base if mine[key] != base[key]]
        changed += ["threads"] * (one.threads != first.threads) + ["processes"] * (one.processes != 1)
        assert len(changed) == 1, (one, changed)
    assert [one.processes for one in others if one.processes > 1] == [2, 4]


def test_every_step_of_a_setting_has_its_row():
    options = scaling.read(["--rounds", "1", "--seconds", "0", "--threads", "1"])
    small = next(one for one in settings("digits", 1, 1) if one.name == "batch: 16")
    rows = rows_of(small, options, Rates(1e9, 1e9))
    assert [(row["setting"], row["step"]) for row in rows] == [("batch: 16", step) for step in STEPS]
    rates = {row["step"]: row["images_per_second"] for row in rows}
    assert rows[1]["ratio_to_kd"] == rates[STUDENT] / rates[KD] and "ratio_to_kd" not in rows[2]


@pytest.mark.long  # a minute of a core
def test_processes_take_a_step_together(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "settings", lambda *given: settings(*given)[-2:])
    main(["--rounds", "1", "--seconds", "0", "--threads", "2", "--json", str(tmp_path / "rows.json")])
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert {row["setting"] for row in rows} == {"processes: 2", FIRST} and not any("note" in row for row in rows)
    together, alone = (
        {row["step"]: row["images_per_second"] for row in rows if row["setting"] == setting}
        for setting in ("processes: 2", FIRST)
    )
    assert list(together) == STEPS
    assert all(0.2 < together[step] / alone[step] < 4 for step in STEPS)


def test_the_pages_block_tells_rates_and_their_ratio(tmp_path, monkeypatch):
    about = {"gpu": None, "threads": 2, "processor": "EPYC", "rounds": 3, "pair": "digits", "versions": {"torch": "2"}}
    rows = [
        {"setting": setting, "step": step, "images_per_second": rate, "ratio_to_kd": rate / 2000}
        for setting in (FIRST, "pixels: 16", FIRST)
        for step, rate in zip(STEPS, (2000.0, 1500.0, 700.0), strict=True)
    ]
    rows.insert(6, {"setting": "processes: 2", "note": "failed"})
    (tmp_path / "scaling-cpu.json").write_text(json.dumps(about | {"rows": rows}))
    monkeypatch.setattr(blocks, "FOLDER", tmp_path)
    lines = blocks.BLOCKS["scaling"]().splitlines()
    assert lines[2] == f"| {FIRST} | 2,000 | 1,500 | 700 | 0.75 |"
    assert [line.split("|")[1].strip() for line in lines[2:5]] == [FIRST, "pixels: 16", FIRST]
