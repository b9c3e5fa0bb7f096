"""The sections of the page: what each tells of runs, in words, tables, figures and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tst_fast.report.comparison_tables import arm_table, difference_table
from tst_fast.report.html import baselines
from tst_fast.report.html.class_figures import class_figures, gains_by_class, gains_over_arms
from tst_fast.report.html.comparison_figures import comparison_figures
from tst_fast.report.html.data import Comparison, Run
from tst_fast.report.html.drawing import CURVES, Drawing, colour_of, kept, words
from tst_fast.report.html.pictures import Gallery, Picture, answers, gallery
from tst_fast.report.html.policy_figures import agreement_maps, gap_figures, operation_panels, policy_rows
from tst_fast.report.html.training_figures import confidence_figure, loss_figures, score_figures, speed_figures
from tst_fast.report.metrics import Evaluated, PassEnded, SearchEnded

DETAILED = 3
"""Of as many runs there are pictures, scores by class and the configuration."""
PICTURE_BYTES = 400_000
"""Of all galleries together: Plotly takes nearly 5 MB of a page of at most 6."""
ANSWER_BYTES = 150_000
"""Of all pictures of answers together."""
MOST_TEXT = 20_000
"""Characters of a configuration."""


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Attributes:
        header: of the columns.
        rows: as many texts each.
    """

    header: list[str]
    rows: list[list[str]]


@dataclass
class Section:
    """A part of the page.

    Attributes:
        title: of the part.
        text: paragraphs at its beginning.
        legend: label and colour of what every figure of the section draws.
        tables: of numbers.
        drawings: figures.
        small: whether the figures are many and small.
        galleries: pictures of searches.
        pictures: others.
        listings: title and text of files.
    """

    title: str
    text: list[str] = field(default_factory=list)
    legend: list[tuple[str, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    small: bool = False
    galleries: list[Gallery] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    listings: list[tuple[str, str]] = field(default_factory=list)

    def or_missing(self, why: str) -> "Section":
        """The section, with a line that says why there is nothing in it, if there is not."""
        if not (self.tables or self.drawings or self.galleries or self.pictures or self.listings):
            self.text = [why]
        return self


def comparison(found: Comparison) -> Section:
    """Arms over seeds, and what is between them."""
    content = found.content
    plan = content["plan"]
    section = Section(f"Comparison {found.label}")
    due = len(plan["seeds"]) * len(plan["fraction_seeds"])
    section.text = [f"Runs of each arm: {due}."]
    if plan["hypothesis"]:
        section.text.append(f"The question, written down before anything was run: {plan['hypothesis']}?")
    if content["agreement"] is not None:
        section.text.append(
            f"Learned policies agree to {content['agreement']:.2f} (mean correlation of probabilities)."
        )
    due *= len(plan["arms"])
    done = sum(map(len, content["runs"].values()))
    if done < due:
        section.text.append(f"It did not end: {done} of {due} runs are there.")
    if content["arms"]:
        section.tables.append(Table(*arm_table(content)))
    if content["differences"]:
        section.tables.append(Table(*difference_table(content)))
    section.drawings = kept(*comparison_figures(found), gains_over_arms(found))
    return section


def results(runs: Sequence[Run]) -> Section:
    """Scores of both networks, run by run."""
    section = Section("Results")
    header = ["run", "metric", "teacher, %", "student, %", "best epoch, %", "minutes", "state"]
    rows = [_result_row(run) for run in runs]
    if rows:
        section.tables.append(Table(header, rows))
    for run in runs[:DETAILED]:
        last = {role: found[-1] for role in ("teacher", "student") if (found := run.evaluations(role))}
        names = dict.fromkeys(name for one in last.values() for name in one.scores)
        if len(names) > 1:
            scores = [
                [words(name), *(_percent(last.get(role), name) for role in ("teacher", "student"))] for name in names
            ]
            section.tables.append(Table([f"{run.label}, %", "teacher", "student"], scores))
    if pairs := baselines.baseline_pairs(runs):
        header = ["seed", "TST, last epoch, %", "KD, last epoch, %", "difference, points"]
        section.tables.append(Table(header, baselines.difference_rows(pairs)))
        by_class = {"TST - KD": ([one for one, _ in pairs], [other for _, other in pairs])}
        section.drawings = kept(gains_by_class("By class: TST - KD of the same seed, points", by_class))
    return section.or_missing("No run is told of by itself.")


def _result_row(run: Run) -> list[str]:
    metric = run.headline()
    if metric is None:
        return [run.label, "", "", "", "", "", _state(run)]
    teacher, student = (run.evaluations(role)[-1:] for role in ("teacher", "student"))
    best = max((one.scores[metric] for one in run.evaluations("student")), default=None)
    return [
        run.label,
        words(metric),
        _percent(teacher[0] if teacher else None, metric),
        _percent(student[0] if student else None, metric),
        "" if best is None else f"{100 * best:.2f}",
        f"{run.result['wall_seconds'] / 60:.1f}" if run.result else "",
        _state(run),
    ]


def _state(run: Run) -> str:
    if run.result:
        return "ended"
    passes = run.of(PassEnded)
    return f"not ended: {passes[-1].stage}, after epoch {passes[-1].epoch + 1}" if passes else "not ended: first pass"


def _percent(evaluated: Evaluated | None, metric: str) -> str:
    return "" if evaluated is None or metric not in evaluated.scores else f"{100 * evaluated.scores[metric]:.2f}"


def policy(runs: Sequence[Run]) -> Section:
    """Each operation over the search."""
    section = Section("The policy over the search", small=True)
    trajectories = {run.label: trajectory for run in runs if (trajectory := run.policy_trajectory())}
    section.drawings = operation_panels(trajectories)
    if len(trajectories) == 1:
        rows = policy_rows(next(iter(trajectories.values())))
        section.tables.append(Table(["operation", "probability", "magnitude", "unit"], rows))
    elif trajectories:
        section.text.append(
            "Grey, where all runs took the same steps: their mean, and one standard deviation to each side."
        )
        section.legend = [(label, colour_of(number)) for number, label in enumerate(list(trajectories)[:CURVES])]
    if any(trajectory.steps[0] for trajectory in trajectories.values()):
        section.text.append(
            "Of a run that did not end, what the policy was before its first pass is not in the folder."
        )
    for run in runs[:DETAILED]:
        for end in run.of(SearchEnded)[-1:]:
            section.text += [f"After its last search, {run.label} warned: {warning}" for warning in end.warnings]
    return section.or_missing("No policy was learned.")


def agreement(runs: Sequence[Run]) -> Section:
    """Operations x runs, of several runs."""
    section = Section("Where policies agree")
    trajectories = {run.label: trajectory for run in runs if (trajectory := run.policy_trajectory())}
    if len(trajectories) > 1:
        section.drawings = agreement_maps(trajectories)
    return section.or_missing("It takes several runs: tst-fast report RUN RUN ...")


def pictures(runs: Sequence[Run]) -> Section:
    """Test images after each search, and what the networks answer at the end."""
    section = Section("What the images become")
    searched = [run for run in runs if run.of(SearchEnded)][:DETAILED]
    found = [gallery(run, PICTURE_BYTES // len(searched)) for run in searched]
    section.galleries = [one for one in found if one]
    if section.galleries:
        section.text.append(
            "The same test images before and after each search, with both networks' confidence in the truth and, in "
            "brackets, the class of a wrong answer. Label maps and boxes that are drawn in are the student's."
        )
    shown = runs[:DETAILED]
    section.pictures = [one for run in shown if (one := answers(run, ANSWER_BYTES // len(shown)))]
    return section.or_missing("No pictures are in the run's folder.")


def gap(runs: Sequence[Run]) -> Section:
    """The teacher's confidence minus the student's after each search."""
    section = Section("The gap on test images", drawings=gap_figures(runs))
    section.text.append(
        "On augmented test images after each search: what the policy is to raise. Dashed: under the untrained policy."
    )
    return section.or_missing("No search has ended.")


def training(runs: Sequence[Run]) -> Section:
    """Scores, losses, learning rates and confidence by epoch."""
    confidence = confidence_figure(runs[0]) if len(runs) == 1 else None
    section = Section("Training", drawings=kept(*score_figures(runs), *loss_figures(runs), confidence))
    return section.or_missing("No pass has ended.")


def classes(runs: Sequence[Run]) -> Section:
    """Scores by class and confusion matrices."""
    found = [(run.label, class_figures(run)) for run in runs[:DETAILED]]
    titled = [(label, one) for label, drawings in found for one in drawings]
    section = Section("Classes")
    if len(runs) == 1:
        section.drawings = [one for _, one in titled]
    else:
        section.drawings = [Drawing(f"{label}: {one.title}", one.figure, one.wide) for label, one in titled]
    return section.or_missing("No scores by class are in the run's folder.")


def speed(runs: Sequence[Run]) -> Section:
    """Images/s, and where the time goes."""
    section = Section("Speed", drawings=speed_figures(runs))
    for run in runs[:DETAILED]:
        if run.result and run.result["images_per_second"] is not None:
            share = run.result["search_share"]
            searched = "" if share is None else f", the search {100 * share:.0f} % of its and the student's time"
            section.text.append(f"{run.label}: {run.result['images_per_second']:,.0f} images/s{searched}.")
    return section.or_missing("No pass has ended.")


def configuration(runs: Sequence[Run]) -> Section:
    """Settings and versions."""
    section = Section("Configuration and versions")
    by_text: dict[str, list[str]] = {}
    for run in runs:
        if run.config_text:
            by_text.setdefault(run.config_text, []).append(run.label)
    for text, labels in list(by_text.items())[:DETAILED]:
        shown = text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}\n... shortened"
        section.listings.append((f"config.yaml of {', '.join(labels)}", shown))
    rows = [[run.label, *_versions(run)] for run in runs if run.result or run.policy]
    if rows:
        section.tables.append(Table(["run", "program", "libraries", "processes"], rows))
    return section.or_missing("No configuration is in the run's folder.")


def _versions(run: Run) -> list[str]:
    result = run.result or {}
    libraries = ", ".join(f"{name} {version}" for name, version in result.get("versions", {}).items())
    program = (run.policy or {}).get("provenance", {}).get("program", "")
    return [str(program), libraries, str(result.get("processes", ""))]


OF_RUNS = (results, policy, agreement, pictures, gap, training, classes, speed, configuration)
"""In the order of the page."""
