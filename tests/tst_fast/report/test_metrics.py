"""metrics.jsonl: what is written is read, and nothing else is; the half line of a killed run is left out."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tst_fast.errors import UserError
from tst_fast.report.metrics import (
    EVENTS,
    VERSION,
    MetricsLog,
    PassEnded,
    PolicyMoved,
    from_line,
    read_metrics,
    to_line,
)

OLD = Path(__file__).parents[1] / "version_0_1_0"

MOVED = PolicyMoved(
    stage="search",
    epoch=3,
    pass_index=7,
    global_step=120,
    operations={"Invert": {"probability": 0.25, "level": None, "magnitude": None}},
    search_share=0.5,
)
ENDED = PassEnded(
    stage="student",
    epoch=3,
    pass_index=8,
    global_step=160,
    mean_loss=1.5,
    images_per_second=1e3,
    seconds={"student": 4},
)


def test_a_line_says_what_it_is_and_when():
    assert json.loads(to_line(MOVED)) == {
        "event": "policy",
        "version": VERSION,
        "stage": "search",
        "epoch": 3,
        "pass": 7,
        "global_step": 120,
        "operations": {"Invert": {"probability": 0.25, "level": None, "magnitude": None}},
        "search_share": 0.5,
    }


@pytest.mark.parametrize("kind", EVENTS.values())
@given(data=st.data())
def test_every_event_comes_back(kind, data):
    event = data.draw(st.from_type(kind))
    line = to_line(event)
    assert "\n" not in line
    assert repr(from_line(line)) == repr(event)  # a NaN, too, is what it was


def test_a_run_writes_every_event(whole_run):
    events = read_metrics(whole_run.folder / "metrics.jsonl")
    assert {type(event) for event in events} == set(EVENTS.values())
    assert [event.global_step for event in events] == sorted(event.global_step for event in events)
    ends = [event for event in events if isinstance(event, PassEnded)]
    assert [(event.pass_index, event.global_step) for event in ends] == [(i, 4 * (i + 1)) for i in range(7)]
    assert all(list(event.seconds) == [event.stage] for event in ends)


@pytest.mark.parametrize(
    "line",
    [
        to_line(ENDED).replace(f'"version": {VERSION}', f'"version": {VERSION + 1}'),
        to_line(ENDED).replace('"event": "pass"', '"event": "passage"'),
        to_line(ENDED).replace('"mean_loss": 1.5, ', ""),
        to_line(ENDED).replace('"mean_loss"', '"median_loss"'),
        to_line(ENDED)[:-2],
        "[]",
        "",
    ],
    ids=["version", "event", "lacking", "unknown", "half", "list", "empty"],
)
def test_what_is_no_event_is_refused(line, tmp_path):
    with pytest.raises(ValueError, match=r"\w"):
        from_line(line)
    file = tmp_path / "metrics.jsonl"
    file.write_text(f"{to_line(MOVED)}\n{line}\n{to_line(ENDED)}\n")
    with pytest.raises(
        UserError, match=rf"metrics.jsonl, line 2, is no event .* \(version {VERSION}\): .*another version"
    ):
        read_metrics(file)


def test_the_file_of_version_0_1_0_is_refused():
    with pytest.raises(UserError, match=r"metrics.jsonl, line 1, is no event"):
        read_metrics(OLD / "metrics.jsonl")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing.jsonl cannot be read: .*No such file"):
        read_metrics(tmp_path / "nothing.jsonl")


def test_the_half_line_of_a_killed_run_is_left_out(tmp_path):
    file = tmp_path / "metrics.jsonl"
    log = MetricsLog(file)
    log.event(MOVED)
    whole = file.stat().st_size
    log.event(ENDED)
    log.close()
    content = file.read_bytes()
    for end in (whole, whole + 1, whole + 40, len(content) - 1):
        file.write_bytes(content[:end])
        assert read_metrics(file) == [MOVED]
    file.write_bytes(content)
    assert read_metrics(file) == [MOVED, ENDED]


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path):
    file = tmp_path / "metrics.jsonl"
    log = MetricsLog(file)
    log.event(MOVED)
    state = log.state_dict()
    log.event(MOVED)
    log.close()
    file.write_bytes(file.read_bytes()[:-5])
    resumed = MetricsLog(file)
    resumed.load_state_dict(state)
    resumed.event(ENDED)
    resumed.close()
    assert read_metrics(file) == [MOVED, ENDED]
