"""Faults of what is told while a run goes on: lines, the time left, trackers."""

from tests.mutants.mutant import Mutant

LINES, COUNTED = "tst_fast/report/test_lines.py", "tst_fast/commands/test_schedule.py"
TRACKED = "tst_fast/report/test_trackers.py"

MUTANTS = [
    Mutant(
        "a line for every event",
        "tst_fast/report/console.py",
        "now - self._last < EVERY",
        "now - self._last < 0",
        f"{LINES}::test_a_stage_is_told_at_its_first_step_and_then_every_half_minute",
    ),
    Mutant(
        "no line at the first step of a stage",
        "tst_fast/report/lines.py",
        "at_once=event.stage not in self._begun",
        "at_once=False",
        f"{LINES}::test_a_stage_is_told_at_its_first_step_and_then_every_half_minute",
    ),
    Mutant(
        "the steps of before the resumption make a run faster",
        "tst_fast/report/lines.py",
        "self._taken[stage] - self._before[stage]",
        "self._taken[stage]",
        f"{LINES}::test_a_resumed_run_counts_its_own_steps_alone",
    ),
    Mutant(
        "the time between steps is not counted",
        "tst_fast/report/lines.py",
        "self._seconds[stage] += now - self._last",
        "self._seconds[stage] += (now - self._last) * isinstance(event, StepsTaken)",
        f"{LINES}::test_the_time_left_is_that_of_the_steps_that_are_left",
    ),
    Mutant(
        "a name forges a line",
        "tst_fast/report/console.py",
        "console.print(printable(message),",
        "console.print(message,",
        f"{LINES}::test_a_name_forges_no_line",
    ),
    Mutant(
        "a teacher's time is taken for a student's",
        "tst_fast/commands/schedule.py",
        "if arm != TEACHER for second",
        "for second",
        f"{COUNTED}::test_the_time_left_is_that_of_the_runs_that_are_left",
    ),
    Mutant(
        "TensorBoard keeps the steps that are taken again",
        "tst_fast/report/services.py",
        '{"purge_step": place.global_step + 1} if place.resumed else {}',
        "{}",
        f"{TRACKED}::test_tensorboard_holds_what_metrics_jsonl_holds_also_of_a_resumed_run",
    ),
    Mutant(
        "TensorBoard loses the checkpoint's step",
        "tst_fast/report/services.py",
        "place.global_step + 1",
        "place.global_step",
        f"{TRACKED}::test_tensorboard_holds_what_metrics_jsonl_holds_also_of_a_resumed_run",
    ),
    Mutant(
        "a resumed run is a new one to the tracker",
        "tst_fast/report/trackers.py",
        "resumed = name in known and",
        "resumed = name not in known and",
        f"{TRACKED}::test_a_resumed_run_is_the_same_run_of_the_tracker",
    ),
    Mutant(
        "scores are told of the stage, not of the network",
        "tst_fast/report/trackers.py",
        'f"{event.role}/{name}"',
        'f"test/{name}"',
        f"{TRACKED}::test_a_resumed_run_is_the_same_run_of_the_tracker",
    ),
    Mutant(
        "a tracker that fails is told everything that follows",
        "tst_fast/report/trackers.py",
        "                del self._trackers[name]\n",
        "",
        f"{TRACKED}::test_a_tracker_that_fails_does_not_stop_the_run",
    ),
    Mutant(
        "the student's answer is shown for the teacher's",
        "tst_fast/run/pictures.py",
        "(found := task.answered(output)) is not None",
        '(found := task.answered(outputs["student"])) is not None',
        "tst_fast/run/test_pictures.py::test_confidences_and_answers_are_those_of_the_networks",
    ),
    Mutant(
        "a right answer is told as a wrong one",
        "tst_fast/report/html/pictures.py",
        'said[role] != said.get("truth")',
        'said[role] == said.get("truth")',
        "tst_fast/report/html/test_pictures.py::test_every_picture_is_in_its_place",
    ),
    Mutant(
        "KD above TST is told as TST above KD",
        "tst_fast/report/html/baselines.py",
        "scores[0] - scores[1]",
        "scores[1] - scores[0]",
        "tst_fast/report/html/test_baselines.py::test_runs_of_the_same_seed_are_beside_each_other",
    ),
    Mutant(
        "a run on other data is a baseline",
        "tst_fast/report/html/baselines.py",
        'ALIKE = ("task", "seed", "data",',
        'ALIKE = ("task", "seed",',
        "tst_fast/report/html/test_baselines.py::test_what_is_no_baseline_is_beside_none",
    ),
]
