"""The sections of the page, each with text, tables, figures and pictures of runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tst_fast.report.comparison_tables import arm_table, difference_table
from tst_fast.report.html import baselines
from tst_fast.report.html.class_figures import class_figures, gains_by_class, gains_over_arms
from tst_fast.report.html.comparison_figures import comparison_figures
from tst_fast.report.html.data import Comparison, PolicyTrajectory, Run
from tst_fast.report.html.drawing import CURVES, Drawing, colour_of, kept, words
from tst_fast.report.html.pictures import Gallery, Picture, answers, gallery
from tst_fast.report.html.policy_figures import agreement_maps, gap_figures, operation_panels, overview, policy_rows
from tst_fast.report.html.training_figures import confidence_figure, loss_figures, score_figures, speed_figures
from tst_fast.report.metrics import Evaluated, PassEnded, SearchEnded

DETAILED = 3
"""Most runs that have pictures, scores by class and their configuration on the page."""
PICTURE_BYTES = 400_000
"""Of all galleries together: Plotly takes nearly 5 MB of a page of at most 6 MB."""
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
        title: heading.
        text: paragraphs at its beginning.
        legend: label and colour of the curves of all figures.
        tables: of numbers.
        drawings: figures.
        small: whether the figures are many and small.
        galleries: pictures of searches.
        pictures: other pictures.
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
        """The section; if it is empty, with a line that says why."""
        if not (self.tables or self.drawings or self.galleries or self.pictures or self.listings):
            self.text = [why]
        return self


def comparison(found: Comparison) -> Section:
    """Scores of arms over seeds, and their differences."""
    content = found.content
    plan = content["plan"]
    section = Section(f"Comparison {found.label}")
    planned = len(plan["seeds"]) * len(plan["fraction_seeds"])
    section.text = [f"Runs of each arm: {planned}."]
    if plan["hypothesis"]:
        section.text.append(f"Hypothesis, recorded before any training: {plan['hypothesis']}.")
    if content["agreement"] is not None:
        section.text.append(
            f"Agreement of the learned policies: {content['agreement']:.2f} (mean correlation of their probabilities)."
        )
    planned *= len(plan["arms"])
    done = sum(map(len, content["runs"].values()))
    if done < planned:
        section.text.append(f"Unfinished: {done} of {planned} runs are done.")
    if content["arms"]:
        section.tables.append(Table(*arm_table(content)))
    if content["differences"]:
        section.tables.append(Table(*difference_table(content)))
    section.drawings = kept(*comparison_figures(found), gains_over_arms(found))
    return section


def results(runs: Sequence[Run]) -> Section:
    """Scores of both networks, a row per run."""
    section = Section("Results")
    header = ["run", "metric", "teacher, %", "student, last epoch, %", "student, best epoch, %", "minutes", "state"]
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
        section.drawings = kept(gains_by_class("Differences by class, TST - KD of the same seed, points", by_class))
    return section.or_missing("No run of its own was given.")


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
        return "finished"
    passes = run.of(PassEnded)
    if not passes:
        return "unfinished: in the first pass"
    where = "search before student" if passes[-1].stage == "search" else passes[-1].stage
    return f"unfinished: after {where} epoch {passes[-1].epoch + 1}"


def _percent(evaluated: Evaluated | None, metric: str) -> str:
    return "" if evaluated is None or metric not in evaluated.scores else f"{100 * evaluated.scores[metric]:.2f}"


def learned_policy(runs: Sequence[Run]) -> Section:
    """Probability and magnitude of each operation after the search: before and after of one run, or run by run."""
    section = Section("Learned policy")
    trajectories = _trajectories(runs)
    if trajectories:
        section.text.append(
            "How often (probability) and how strongly (magnitude) the policy applies each operation. A relative "
            "magnitude of 1 is the strongest. ±: the sign is drawn at random for each image."
        )
    if len(trajectories) == 1:
        (trajectory,) = trajectories.values()
        section.drawings = [overview(trajectory)]
        section.tables.append(Table(["operation", "probability", "magnitude", "unit"], policy_rows(trajectory)))
    elif trajectories:
        section.drawings = agreement_maps(trajectories)
    if any(trajectory.steps[0] for trajectory in trajectories.values()):
        section.text.append("The policy of an unfinished run is shown from the end of its first pass.")
    for run in runs[:DETAILED]:
        for end in run.of(SearchEnded)[-1:]:
            section.text += [f"Warning after the last search of {run.label}: {warning}" for warning in end.warnings]
    return section.or_missing("No policy was learned.")


def policy_trajectory(runs: Sequence[Run]) -> Section:
    """Each operation over the search."""
    section = Section("Policy over the search", small=True)
    trajectories = _trajectories(runs)
    section.drawings = operation_panels(trajectories)
    if len(trajectories) > 1:
        section.text.append("Grey: mean ± one standard deviation, if all runs took the same steps.")
        section.legend = [(label, colour_of(number)) for number, label in enumerate(list(trajectories)[:CURVES])]
    return section.or_missing("No search has ended a pass.")


def _trajectories(runs: Sequence[Run]) -> dict[str, PolicyTrajectory]:
    return {run.label: trajectory for run in runs if (trajectory := run.policy_trajectory())}


def pictures(runs: Sequence[Run]) -> Section:
    """Test images after each search, and predictions at the end."""
    section = Section("Augmented images")
    searched = [run for run in runs if run.of(SearchEnded)][:DETAILED]
    found = [gallery(run, PICTURE_BYTES // len(searched)) for run in searched]
    section.galleries = [one for one in found if one]
    if section.galleries:
        section.text.append(
            "The same test images: original, under an untrained policy, and under the learned policy with the same "
            "random numbers. Below each: both networks' confidence in the ground truth and, in brackets, a wrong "
            "prediction. Overlaid label maps and boxes are the student's."
        )
    shown = runs[:DETAILED]
    section.pictures = [one for run in shown if (one := answers(run, ANSWER_BYTES // len(shown)))]
    return section.or_missing("No pictures are in the run's folder.")


def gap(runs: Sequence[Run]) -> Section:
    """Confidence of teacher and student on augmented test images after each search."""
    section = Section("Confidence gap on test images", drawings=gap_figures(runs))
    section.text.append(
        "Mean confidence in the ground truth on augmented test images after each search, teacher minus student. The "
        "search should raise it above that of the untrained policy (dashed)."
    )
    return section.or_missing("No search has ended.")


def training(runs: Sequence[Run]) -> Section:
    """Scores, losses, learning rates and confidence, by epoch."""
    confidence = confidence_figure(runs[0]) if len(runs) == 1 else None
    section = Section("Training", drawings=kept(*score_figures(runs), *loss_figures(runs), confidence))
    return section.or_missing("No pass has ended.")


def classes(runs: Sequence[Run]) -> Section:
    """Scores by class and confusion matrices."""
    found = [(run.label, class_figures(run)) for run in runs[:DETAILED]]
    titled = [(label, one) for label, drawings in found for one in drawings]
    section = Section("Scores by class")
    if len(runs) == 1:
        section.drawings = [one for _, one in titled]
    else:
        section.drawings = [Drawing(f"{label}: {one.title}", one.figure, one.wide) for label, one in titled]
    return section.or_missing("No scores by class are in the run's folder.")


def speed(runs: Sequence[Run]) -> Section:
    """Throughput, and time by stage."""
    section = Section("Throughput and time", drawings=speed_figures(runs))
    for run in runs[:DETAILED]:
        if run.result and run.result["images_per_second"] is not None:
            share = run.result["search_share"]
            searched = (
                ""
                if share is None
                else f"; the search took {100 * share:.0f} % of the time of search and student training"
            )
            section.text.append(f"{run.label}: {run.result['images_per_second']:,.0f} images/s{searched}.")
    return section.or_missing("No pass has ended.")


def configuration(runs: Sequence[Run]) -> Section:
    """Settings, and versions of libraries."""
    section = Section("Configuration and versions")
    by_text: dict[str, list[str]] = {}
    for run in runs:
        if run.config_text:
            by_text.setdefault(run.config_text, []).append(run.label)
    for text, labels in list(by_text.items())[:DETAILED]:
        shown = text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}\n... (truncated)"
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


OF_RUNS = (results, learned_policy, policy_trajectory, pictures, gap, training, classes, speed, configuration)
"""In the order of the page."""
