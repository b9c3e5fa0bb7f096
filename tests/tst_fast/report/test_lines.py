"""What is printed where bars cannot move: when, how long is left, and that a line stays a line."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from tst_fast.report.bars import Bars
from tst_fast.report.console import say
from tst_fast.report.counter import Counter
from tst_fast.report.lines import Lines
from tst_fast.report.metrics import Evaluated, PassEnded, StepsTaken
from tst_fast.report.observer import Opening
from tst_fast.report.terminal import Terminal


def opening(**changes):
    """Of a run of two epochs of a teacher and of two of a student, four steps each, with a search of two steps."""
    values = {
        "name": "made-up",
        "folder": Path("runs/made-up"),
        "steps": {"teacher": 8, "search": 2, "student": 8},
        "taken": {"teacher": 0, "search": 0, "student": 0},
        "epochs": {"teacher": 2, "student": 2},
        "global_step": 0,
        "images": (400, 100),
        "loader": "CachedLoader",
        "titles": {"top1": "accuracy"},
        "fits": {},
    }
    return Opening(**{**values, **changes})


def steps(stage, stage_step, epoch=0, **changes):
    values = {"step": stage_step % 4, "learning_rate": 0.1, "images_per_second": 1234.5, "means": {"loss": 0.25}}
    where = {"stage": stage, "epoch": epoch, "pass_index": 0, "global_step": stage_step}
    return StepsTaken(**{**where, "stage_step": stage_step, **values, **changes})


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=40)  # narrower than any line, which must not be broken


def printed(console):
    return console.file.getvalue().splitlines()


@pytest.fixture
def lines(console, clock):
    observer = Lines(console)
    observer.opened(opening())
    return observer


def test_a_stage_is_told_at_its_first_step_and_then_every_half_minute(lines, console, clock):
    told = []
    for step in range(1, 9):
        clock.now += 12
        lines.event(steps("teacher", step))
        told.append(len(printed(console)))
    assert told == [1, 1, 1, 2, 2, 2, 3, 3]  # at 12, 48 and 84 s
    clock.now += 1
    lines.event(steps("search", 1))
    clock.now += 1
    lines.event(steps("student", 1))
    clock.now += 28
    lines.event(steps("student", 2))
    assert len(printed(console)) == 5
    clock.now += 2
    lines.event(steps("student", 3))
    assert len(printed(console)) == 6


def test_a_line_says_where_the_run_is(lines, console, clock):
    clock.now += 10
    lines.event(steps("teacher", 8, 1, memory=3 * 2**29))
    where = {"stage": "teacher", "epoch": 1, "pass_index": 1, "global_step": 8}
    lines.event(Evaluated(**where, role="teacher", scores={"top1": 0.912, "top5": 1.0}))
    clock.now += 31
    lines.event(steps("search", 1, 1))
    lines.event(steps("teacher", 8, 1))
    clock.now += 31
    lines.event(steps("teacher", 8, 1))
    first, search, last = printed(console)
    assert first == (
        "teacher epoch 2 of 2, step 8 of 8: loss 0.25, 1,234 images/s, over 0:00:00 left, peak memory 1.5 GiB"
    )
    assert search.startswith("search before student epoch 2 of 2, step 1 of 2: loss 0.25, ")
    assert ", accuracy 91.2 %, " in last


def test_the_time_left_is_that_of_the_steps_that_are_left(lines, console, clock):
    """Each teacher step has cost 10 s, its evaluation 8 s; a search step costs 40 s, a student's 100 s."""
    where = {"stage": "teacher", "epoch": 0, "pass_index": 0, "global_step": 4}
    clock.now += 40
    lines.event(steps("teacher", 4))
    clock.now += 8
    lines.event(Evaluated(**where, role="teacher", scores={"top1": 0.5}))
    clock.now += 32
    lines.event(steps("teacher", 7))  # 80 s for 7 steps: 1 * 11.4 s left, and what is not known
    clock.now += 11
    lines.event(steps("teacher", 8, 1))
    clock.now += 40
    lines.event(steps("search", 1))  # another one is left
    clock.now += 200
    lines.event(steps("student", 2))  # six are left, and the step of the search
    left = [line.split(", ")[4 if "accuracy" in line else 3] for line in printed(console)]
    assert left == ["over 0:00:40 left", "over 0:00:11 left", "over 0:00:40 left", "0:10:40 left"]


def test_a_resumed_run_counts_its_own_steps_alone(console, clock):
    lines = Lines(console)
    lines.opened(opening(taken={"teacher": 8, "search": 2, "student": 4}, global_step=14))
    clock.now += 10
    lines.event(steps("student", 5, 1))
    assert ", 0:00:30 left" in printed(console)[0]


def test_an_interleaved_search_is_within_the_students_time(console, clock):
    lines = Lines(console)
    lines.opened(opening(steps={"teacher": 0, "search": 0, "student": 8}))
    clock.now += 5
    lines.event(steps("search", 1))
    clock.now += 5
    lines.event(steps("student", 1))
    lines.event(
        PassEnded(stage="student", epoch=0, pass_index=0, global_step=1, mean_loss=1, images_per_second=1, seconds={})
    )
    (line,) = printed(console)
    assert line.startswith("student epoch 1 of 2, step 1 of 8: ")
    assert ", 0:01:10 left" in line


def test_a_name_forges_no_line(console):
    say(console, "a\nrun over[red]\x1b[2J\rb" + "c" * 100)
    assert printed(console) == [r"a\nrun over[red]\x1b[2J\rb" + "c" * 100]


def test_many_things_are_counted(console, clock):
    with Counter(console, "images", 1000) as counter:
        for _ in range(3):
            clock.now += 20
            counter.advance()
        counter.say("bad\n.jpg: empty file")
    with Counter(console, "checks") as counter:
        counter.advance()
    assert printed(console) == [
        "images: 1 of 1,000, 5:33:00 left",
        "images: 3 of 1,000, 5:32:20 left",
        r"bad\n.jpg: empty file",
        "checks: 1, 0:00:00 so far",
    ]


@pytest.mark.parametrize(
    ("options", "moves"),
    [({"force_terminal": True}, True), ({"force_terminal": False}, False), ({"force_jupyter": True}, False)],
    ids=["terminal", "pipe", "notebook"],
)
def test_bars_move_on_a_terminal_alone(monkeypatch, options, moves):
    monkeypatch.setattr("tst_fast.report.terminal.Console", lambda: Console(file=io.StringIO(), **options))
    assert isinstance(Terminal()._going, Bars if moves else Lines)


def test_bars_show_the_rate_and_the_last_score():
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    bars = Bars(console, transient=False)
    bars.opened(opening())
    bars.event(steps("teacher", 4))
    where = {"stage": "teacher", "epoch": 0, "pass_index": 0, "global_step": 4}
    bars.event(Evaluated(**where, role="teacher", scores={"top1": 0.984}, by_class={}))
    bars.event(steps("teacher", 5, images_per_second=1010.0))
    bars.close()
    assert "1,010 images/s, accuracy 98.4 %" in console.file.getvalue()


def test_bars_have_no_colour_where_none_is_wanted(monkeypatch):
    def shown():
        console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=120)
        bars = Bars(console, transient=False)
        bars.opened(opening())
        bars.event(steps("teacher", 4))
        bars.close()
        return console.file.getvalue()

    assert "\x1b[38;" in shown()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[38;" not in shown()
    assert "4/8" in shown()
