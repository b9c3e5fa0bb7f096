"""What is on the page, against what is in the folders."""

import dataclasses
import re
import statistics

import numpy as np
import pytest
from scipy import stats

from tests.tst_fast.report.html.folders import MadeUp, compare
from tests.tst_fast.report.html.parsing import page_of
from tst_fast.report.metrics import StepsTaken, read_metrics, to_line

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & <b>bold</b> {{ 7 * 7 }}"


def test_results_are_those_of_the_run(tmp_path):
    page = page_of(MadeUp().write(tmp_path / "run"))
    score = 50 + 20 / 3
    students = ["student, last epoch, %", "student, best epoch, %"]
    assert page.row("run") == ["run", "metric", "teacher, %", *students, "minutes", "state"]
    results = next(row for row in page.rows if row[:2] == ["run", "top-1"])
    assert results[2:] == ["90.00", f"{score:.2f}", f"{score:.2f}", "1.0", "finished"]
    assert page.row("mean IoU") == ["mean IoU", "45.00", f"{score / 2:.2f}"]
    assert page.row("Rotate") == ["Rotate", "0.50 → 0.40", "±15 → ±7.5", "degrees"]
    assert ["run", "tst-fast of made-up", "torch 9.8.7", "2"] in page.rows
    assert "run: 123 images/s; the search took 25 % of the time of search and student training." in page.text
    assert "Warning after the last search of run: made-up only weakens" in page.text


def test_figures_draw_what_the_events_say(tmp_path):
    page = page_of(MadeUp().write(tmp_path / "run"))
    probability, magnitude = page.numbers("Rotate")
    assert probability == pytest.approx([0.5, 0.45, 0.4]) and magnitude == [15, 7.5, 7.5]
    assert page.numbers("Rotate", "x") == [[0, 4, 8]] * 2
    assert page.numbers("Confidence gap (teacher minus student), points") == [[40, 40], [20, 20]]
    student, teacher = page.numbers("Top-1 on test images, %")
    assert student == pytest.approx([50, 50 + 10 / 3, 50 + 20 / 3]) and teacher == [90, 90]
    assert page.numbers("Mean loss: student training") == [pytest.approx([2, 1, 2 / 3])]
    # Each pass was made up to be 50 images/s faster than the one before it.
    assert page.numbers("Throughput of each pass") == [[50, 100, 150], [200, 300], [250, 350, 400]]
    assert page.numbers("Time by stage", "x") == [[4.5], [3], [4.5], [48]]
    # Plotly's default template would be 7 kB of each figure.
    assert all("colorway" not in layout["template"].get("layout", {}) for _, layout in page.figures.values())
    assert page.numbers("Learning rates")[-1] == pytest.approx(np.repeat([0.1, 0.05, 0.1 / 3], 4))


def test_the_overview_shows_the_policy_before_and_after_the_search(tmp_path):
    """Of Rotate and Invert; Invert has no magnitude. Lines, then before, then after: of probabilities, of levels."""
    page = page_of(MadeUp().write(tmp_path / "run"))
    title = "Probability and magnitude before and after the search"
    assert page.numbers(title, "x") == [
        [0.5, pytest.approx(0.4), None, 0.5, 0.3, None], [0.5, 0.5], [pytest.approx(0.4), 0.3],
        [0.5, 0.25, None], [0.5], [0.25],
    ]  # fmt: skip
    assert page.numbers(title)[1:3] == [["Rotate", "Invert"]] * 2 and page.numbers(title)[5] == ["Rotate"]
    assert [trace["name"] for trace in page.figures[title][0][1:3]] == ["before", "after"]


def test_classes_show_what_the_student_gained_or_lost(tmp_path):
    page = page_of(MadeUp().write(tmp_path / "run"))
    teacher, student = page.numbers("Top-1 by class, %")
    assert teacher == pytest.approx([90, 80, 70])
    (gains,) = page.numbers("Top-1 by class, student minus teacher, points")
    assert gains == pytest.approx(np.subtract(student, teacher)) and gains[-1] == pytest.approx(30)
    data, layout = page.figures["Confusion matrix of the student, % of each true class"]
    assert page.numbers("Confusion matrix of the student, % of each true class", "z") == [
        [[90, 10, 0], [0, 90, 10], [10, 0, 90]]
    ]
    assert data[0]["y"] == ["cat", "dog", "eel"] and layout["yaxis"]["autorange"] == "reversed"


def test_a_student_alone_has_a_page(tmp_path):
    folder = MadeUp(searches=0).write(tmp_path / "run")
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(line for line in lines if '"teacher"' not in line))
    page = page_of(folder)
    (student,) = page.numbers("Top-1 by class, %")
    assert len(student) == 3 and not any("minus teacher" in title for title in page.figures)


def test_classes_that_are_short_alike_stay_apart(tmp_path):
    classes = [f"Corn_(maize)___{where}_Leaf_Blight" for where in ("Northern", "Southern")]
    page = page_of(MadeUp(classes=(*classes, "Tomato___another_one_that_is_long")).write(tmp_path / "run"))
    for title, axes in {
        "Top-1 by class, %": "x",
        "Confusion matrix of the student, % of each true class": "xy",
    }.items():
        for axis in axes:
            assert all(places == [*classes, "Tomato___ano…hat_is_long"] for places in page.numbers(title, axis))


def test_runs_that_are_short_alike_are_told_apart(tmp_path):
    names = [
        f"resnet56-resnet20-{policy}-of-thirty-epochs-with-second-crops-seed-0" for policy in ("trained", "random")
    ]
    page = page_of(*(MadeUp().write(tmp_path / name) for name in names))
    for title in (
        "Mean loss: student training",
        "Top-1 on test images, % (dotted: teacher)",
        "Throughput of each pass (dotted: teacher; dashed: search)",
    ):
        shown = {trace["name"].removesuffix(", student training") for trace in page.figures[title][0]}
        assert set(names) <= shown
    (gaps, _) = page.figures["Confidence gap (teacher minus student), points"]
    assert [trace["name"] for trace in gaps] == [
        f"{name}, {kind} policy" for name in names for kind in ("learned", "untrained")
    ]


def test_confidences_are_weighed_by_their_steps(tmp_path):
    """Ten steps of 50 %, then one of 100 %."""
    folder = MadeUp(epochs=1, steps=2).write(tmp_path / "run")
    lines = []
    for event in read_metrics(folder / "metrics.jsonl"):
        if isinstance(event, StepsTaken) and event.stage == "student":
            step, sure = {1: (10, 0.5), 2: (11, 1.0)}[event.step]
            event = dataclasses.replace(event, step=step, means={**event.means, "student_confidence": sure})
        lines.append(to_line(event) + "\n")
    (folder / "metrics.jsonl").write_text("".join(lines))
    drawn = sorted(page_of(folder).numbers("Confidence in the true class on training images, %"))
    assert drawn == [[pytest.approx(100 * 6 / 11)], [pytest.approx(80)]]


def test_several_runs_have_their_mean_and_spread(tmp_path):
    shifts = (0.0, 0.1, 0.3)
    folders = [MadeUp(shift=shift).write(tmp_path / f"run{i}") for i, shift in enumerate(shifts)]
    page = page_of(*folders)
    upper, lower, mean, *runs = page.numbers("Rotate")[:6]
    of_runs = np.array(runs)
    assert of_runs[:, -1] == pytest.approx([0.4, 0.5, 0.7])
    assert mean == pytest.approx(of_runs.mean(0))
    assert upper == pytest.approx(of_runs.mean(0) + of_runs.std(0, ddof=1))
    assert lower == pytest.approx(of_runs.mean(0) - of_runs.std(0, ddof=1))
    (cells,) = page.numbers("Probability after the search, by run", "z")
    assert np.array(cells) == pytest.approx(np.array([[0.4, 0.5, 0.7], [0.3, 0.3, 0.3]]))
    (levels,) = page.numbers("Relative magnitude after the search, by run", "z")
    assert levels == [[0.25] * 3]


def test_ten_runs_have_a_colour_and_a_place_in_the_legend_each(tmp_path):
    page = page_of(*(MadeUp(searches=1, epochs=1).write(tmp_path / f"run{number}") for number in range(10)))
    for title in ("Confidence gap (teacher minus student), points", "Top-1 on test images, % (dotted: teacher)",
                  "Throughput of each pass (dotted: teacher; dashed: search)"):  # fmt: skip
        traces, layout = page.figures[title]
        in_legend = [trace for trace in traces if trace.get("showlegend") is not False]
        assert layout["showlegend"] and len(in_legend) == len({trace["line"]["color"] for trace in in_legend}) == 10


def test_a_comparison_shows_every_seed_and_paired_intervals(tmp_path):
    scores = {"TST": [0.62, 0.66, 0.61], "KD": [0.60, 0.61, 0.62]}
    page = page_of(compare(tmp_path / "compared", scores, [("TST", "KD")]))
    points = page.numbers("Top-1 by arm, last epoch, %: mean ± one standard deviation", "x")
    assert points == [pytest.approx(one) for one in ([62, 66, 61], [63], [60, 61, 62], [61])]
    assert page.figures["Top-1 by arm, last epoch, %: mean ± one standard deviation"][0][1]["error_x"][
        "array"
    ] == pytest.approx([100 * statistics.stdev(scores["TST"])])
    differences = np.subtract(scores["TST"], scores["KD"])
    interval = 100 * np.array(stats.ttest_1samp(differences, 0).confidence_interval(0.95))
    row = page.row("TST - KD (hypothesis)")
    assert row[1:] == ["+2.00", "{:+.2f} to {:+.2f}".format(*interval), "2 of 3", "+2.00, +5.00, -1.00"]
    _, mean = page.figures["Differences paired by seed, points: mean with 95 % confidence interval"][0]
    assert mean["error_x"]["array"] == pytest.approx([interval[1] - 2])
    assert page.row("TST")[2:] == ["63.00 ± 2.65", "63.00 ± 2.65", "62.00, 66.00, 61.00"]
    (gains,) = page.numbers("Differences by class, mean over seeds, points")
    assert gains == pytest.approx([2, 2, 0])
    assert "Hypothesis, recorded before any training: TST is above KD." in page.text
    assert {row[0] for row in page.rows if row[1:2] == ["top-1"]} == {f"TST, seed {seed}" for seed in range(3)}


def test_a_killed_run_says_what_is_missing(tmp_path):
    made = MadeUp(ended=False, searches=0)
    page = page_of(made.write(tmp_path / "run"))
    for line in ("No policy was learned.", "No pictures are in the run's folder.", "No search has ended."):
        assert page.text.count(line) == 1
    assert next(row for row in page.rows if row[:2] == ["run", "top-1"])[5:] == [
        "",
        "unfinished: after student epoch 3",
    ]
    searched = page_of(MadeUp(ended=False).write(tmp_path / "searched"))
    assert "The policy of an unfinished run is shown from the end of its first pass." in searched.text
    (tmp_path / "run/metrics.jsonl").write_text("")
    page = page_of(tmp_path / "run")
    assert (
        next(row for row in page.rows if row[0] == "run" and row[-1] != "state")[-1] == "unfinished: in the first pass"
    )
    assert page.figures == {}
    for line in ("No pass has ended.", "No scores by class are in the run's folder."):
        assert line in page.text


def test_text_of_the_files_stays_text_and_nothing_is_fetched(tmp_path):
    made = MadeUp(name=HOSTILE, classes=(HOSTILE, "dog", "<a href='//x.y'>eel</a>"))
    plain, hostile = (page_of(one.write(tmp_path / name)) for one, name in ((MadeUp(), "a"), (made, "<i>b")))
    names = [tag for tag, _ in plain.tags]
    assert [tag for tag, _ in hostile.tags] == names
    assert HOSTILE in hostile.text and "<i>b" in hostile.text
    drawn = [name for data, _ in hostile.figures.values() for trace in data for name in trace.get("x", [])]
    assert "&lt;a href='//x.y'&gt;eel&lt;/a&gt;" in drawn and not any("<" in str(name) for name in drawn)
    for tag, attributes in hostile.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href"):
            assert re.match(r"data:image/webp;base64,|#section-\d+$", attributes.get(name) or "#section-0")
        assert tag not in ("link", "iframe", "object")


@pytest.mark.parametrize(
    ("runs", "made"),
    [
        (1, MadeUp(epochs=30, searches=8, classes=tuple(f"class {number}" * 9 for number in range(1000)))),
        (4, MadeUp(epochs=30, searches=8, classes=tuple(f"class {number}" * 9 for number in range(100)), steps=60)),
    ],
    ids=["a thousand classes", "long runs"],
)
def test_a_page_stays_under_six_million_bytes(tmp_path, runs, made):
    made.side, made.noise, made.name = 128, True, "x" * 100_000
    page_of(*(made.write(tmp_path / f"run{number}") for number in range(runs)))
    size = (tmp_path / "run0-report.html").stat().st_size
    assert 4_500_000 < size < 6_000_000
