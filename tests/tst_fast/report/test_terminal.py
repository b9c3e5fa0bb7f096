"""What a reader is told that the policy learned, from a made-up course of learning and from a run."""

import io
import json

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from tst_fast.policy.file import LearnedOperation
from tst_fast.report.plots import plot_policy
from tst_fast.report.terminal import policy_table
from tst_fast.train import main


def _knowledge(rotate, solarize, invert):
    """Probability and level of each; Invert has no level."""
    return [
        LearnedOperation("Rotate", rotate[0], rotate[1], 30 * rotate[1], "degrees", True),
        LearnedOperation("Solarize", solarize[0], solarize[1], 255 * (1 - solarize[1]), "threshold, 8-bit", False),
        LearnedOperation("Invert", invert, None, None, "", False),
    ]


HISTORY = [
    _knowledge((0.5, 0.5), (0.5, 0.5), 0.5),
    _knowledge((0.6, 0.4), (0.4, 0.6), 0.7),
    _knowledge((0.75, 0.2), (0.25, 0.8), 0.875),
]


def _rows(text):
    """Cells of the table's rows."""
    rows = [[cell.strip() for cell in line.strip()[1:-1].split("│")] for line in text.splitlines() if "→" in line]
    return {name: cells for name, *cells in rows}


def test_the_table_goes_from_before_to_after():
    console = Console(file=io.StringIO(), width=120)
    console.print(policy_table(HISTORY[0], HISTORY[-1]))
    assert _rows(console.file.getvalue()) == {
        "Rotate": ["0.50 → 0.75", "±15 → ±6", "degrees"],
        "Solarize": ["0.50 → 0.25", "128 → 51", "threshold, 8-bit"],
        "Invert": ["0.50 → 0.88", "", ""],
    }


@pytest.fixture
def figures(monkeypatch):
    """Every figure that is written."""
    written, save = [], Figure.savefig

    def recorded(self, *arguments, **options):
        written.append(self)
        return save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", recorded)
    return written


def test_the_plot_shows_each_probability_and_level_over_the_passes(figures, tmp_path):
    plot_policy(HISTORY, tmp_path / "policy.png")
    (figure,) = figures
    curves = {
        axes.get_title(): {line.get_label(): line.get_ydata().tolist() for line in axes.lines} for axes in figure.axes
    }
    assert curves == {
        "probability": {"Rotate": [0.5, 0.6, 0.75], "Solarize": [0.5, 0.4, 0.25], "Invert": [0.5, 0.7, 0.875]},
        "level, 0 to 1": {"Rotate": [0.5, 0.4, 0.2], "Solarize": [0.5, 0.6, 0.8]},
    }
    assert [axes.get_ylim() for axes in figure.axes] == [(0, 1), (0, 1)]


def test_a_run_tells_what_its_policy_file_holds(whole_run, tiny_flags, tmp_path, capsys, monkeypatch, figures):
    monkeypatch.setenv("COLUMNS", "120")
    teacher = f"--teacher.checkpoint={whole_run.folder / 'teacher.safetensors'}"
    main([*tiny_flags, teacher, "--policy.learning_rate=20", f"--output={tmp_path}"])
    (folder,) = tmp_path.iterdir()
    learned = json.loads((folder / "policy.json").read_text())
    rows = _rows(capsys.readouterr().out)
    assert list(rows) == [row["operation"] for row in learned["operations"]]
    for row in learned["operations"]:
        probability, magnitude, unit = rows[row["operation"]]
        assert probability == f"0.50 → {row['probability']:.2f}"
        assert unit == row["unit"]
        after = magnitude.partition(" → ")[2].lstrip("±")
        assert after == ("" if row["magnitude"] is None else f"{row['magnitude']:.3g}")
    assert sum(abs(row["probability"] - 0.5) > 0.01 for row in learned["operations"]) > 3  # there is much to tell
    (figure,) = figures
    plotted = {line.get_label(): line.get_ydata().tolist() for line in figure.axes[0].lines}
    assert plotted == {name: course["probability"] for name, course in learned["history"].items()}
