"""The command, and the report that every run leaves."""

import subprocess
import sys
from contextlib import closing

import pytest
from accelerate import Accelerator

from tests.tst_fast.report.html.folders import MadeUp
from tests.tst_fast.report.html.parsing import Page
from tst_fast.cli import main
from tst_fast.commands.arms import ARMS
from tst_fast.commands.comparison import Comparison
from tst_fast.report.html import page
from tst_fast.run.start import open_run


def test_where_it_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one, other = (str(MadeUp().write(tmp_path / name)) for name in ("one", "other"))
    for arguments, expected in (
        ([one], tmp_path / "one/report.html"),
        ([one, other], tmp_path / "report.html"),
        ([one, "--output", "here.html"], tmp_path / "here.html"),
    ):
        main(["report", *arguments])
        assert capsys.readouterr().out.endswith(
            f"{expected.relative_to(tmp_path) if len(arguments) > 1 else expected}\n"
        )
        assert expected.read_text().startswith("<!DOCTYPE html>")


def test_mistakes_are_messages(tmp_path):
    run = MadeUp().write(tmp_path / "run")
    with pytest.raises(SystemExit, match=r"error: .*elsewhere is no run's folder"):
        main(["report", str(tmp_path / "elsewhere")])
    with pytest.raises(SystemExit, match=r"error: --output .*cannot be written: no such file"):
        main(["report", str(run), "--output", str(tmp_path / "no/where.html")])


def test_it_does_not_wait_for_torch(tmp_path):
    run = MadeUp().write(tmp_path / "run")
    program = (
        "import sys; from tst_fast.cli import main; main(sys.argv[1:]); "
        "assert not {'torch', 'matplotlib', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, "report", run], check=True, timeout=60)


@pytest.fixture
def short_run(tiny_config, tmp_path):
    config = tiny_config("--teacher_training.epochs=1", "--student_training.epochs=1", "--policy.search_at=[]")
    with closing(open_run(config, tmp_path / "run", Accelerator(cpu=True))) as run:
        yield run


def test_a_run_leaves_one_and_says_where(short_run, capsys):
    result = short_run.run()
    file = short_run.folder / "report.html"
    assert capsys.readouterr().out.replace("\n", "").endswith(f"the report is {file}")
    assert f"<td>{100 * result['student']['accuracy']:.2f}</td>" in file.read_text()
    assert f"torch {result['versions']['torch']}" in file.read_text()


def test_a_report_that_fails_does_not_fail_the_run(short_run, capsys, monkeypatch):
    monkeypatch.setattr(page, "render", lambda *_: 1 / 0)
    assert short_run.run()["student"] is not None
    assert (short_run.folder / "student.safetensors").exists() and not (short_run.folder / "report.html").exists()
    assert "warning: no report was written: ZeroDivisionError: division by zero" in capsys.readouterr().out


def test_a_comparison_leaves_one_and_its_runs_none(whole_run, tiny_config, tmp_path, capsys):
    short = "--student_training.epochs=2", "--policy.search_epochs=1"
    config = tiny_config(f"--teacher.checkpoint={whole_run.folder / 'teacher.safetensors'}", *short)
    arms = {name: ARMS[name] for name in ("KD, untrained policy", "TST")}
    content = Comparison(config, arms, 2, 1, tmp_path, Accelerator(cpu=True)).run()
    assert [file.parent for file in tmp_path.rglob("report.html")] == [tmp_path]
    assert f"the report is {tmp_path / 'report.html'}" in capsys.readouterr().out.replace("\n", "")
    page = Page((tmp_path / "report.html").read_text())
    for arm, runs in content["runs"].items():
        assert page.row(arm)[-1] == ", ".join(f"{100 * run['student']['accuracy']:.2f}" for run in runs)
    (cells,) = page.numbers("Probability after the search, by run", "z")
    learned = [list(run["probabilities"].values()) for run in content["runs"]["TST"]]
    assert [list(column) for column in zip(*cells, strict=True)] == learned
