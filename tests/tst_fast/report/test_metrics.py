"""metrics.jsonl: what is written is read, and nothing else is; the half line of a killed run is left out."""

import dataclasses
import json
import types
import typing
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


NUMBERS = {int: st.integers(0, 2**63 - 1), float: st.floats(-1e300, 1e300)}


def _values(kind):
    """A strategy of what a field of this type may hold."""
    origin, arguments = typing.get_origin(kind), [_values(one) for one in typing.get_args(kind)]
    made = {list: st.lists, dict: st.dictionaries, types.UnionType: st.one_of}.get(origin)
    return made(*arguments) if made else NUMBERS.get(kind, st.from_type(kind))


@pytest.mark.parametrize("kind", EVENTS.values())
@given(data=st.data())
def test_every_event_comes_back(kind, data):
    kinds = typing.get_type_hints(kind)
    fields = {item.name: _values(kinds[item.name]) for item in dataclasses.fields(kind)}
    event = data.draw(st.builds(kind, **fields))
    line = to_line(event)
    assert "\n" not in line
    assert from_line(line) == event


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
    with pytest.raises(UserError, match=rf"metrics.jsonl, line 2, is no event .* \(version {VERSION}\): \w"):
        read_metrics(file)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epoch", -1, "epoch is -1: it must be a whole number"),
        ("epoch", 2**70, "epoch is 118"),
        ("stage", 3, "stage is 3: it must be text"),
        ("mean_loss", float("nan"), "mean_loss is nan: it must be a number"),
        ("mean_loss", "1", "mean_loss is '1': it must be a number"),
        ("images_per_second", 10**400, "images_per_second is 1000"),
        ("seconds", {"student": None}, r"seconds is {'student': None}: it must be a mapping of text to numbers"),
        ("seconds", [], r"seconds is \[\]: it must be"),
        ("x" * 99, 1, "it has no 'xxx"),
    ],
)
def test_every_field_is_what_it_must_be(field, value, message):
    values = {**json.loads(to_line(ENDED)), field: value}
    with pytest.raises(ValueError, match=message):
        from_line(json.dumps(values))
    del values[field]
    if field in json.loads(to_line(ENDED)):
        with pytest.raises(ValueError, match=f"it lacks {field}"):
            from_line(json.dumps(values))


def test_a_line_that_is_nested_deeply_is_refused():
    with pytest.raises(ValueError, match="nested too deeply"):
        from_line('{"a": ' * 100_000)


def test_the_file_of_version_0_1_0_is_refused():
    with pytest.raises(UserError, match=r"line 1, is no event .* \(version 2\): the run was made by another version"):
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
    _go_on(file, state)
    assert read_metrics(file) == [MOVED, ENDED]


def test_what_a_crash_lost_is_not_made_up(tmp_path):
    """A file may end before the checkpoint's position: a power cut loses what the disk did not have yet."""
    file = tmp_path / "metrics.jsonl"
    log = MetricsLog(file)
    for _ in range(2):
        log.event(MOVED)
    state = log.state_dict()
    log.close()
    file.write_bytes(file.read_bytes()[:-5])
    _go_on(file, state)
    assert read_metrics(file) == [MOVED, ENDED]


def _go_on(file, state):
    resumed = MetricsLog(file)
    resumed.load_state_dict(state)
    resumed.event(ENDED)
    resumed.close()
