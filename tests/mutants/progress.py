"""Faults of what is told while a run goes on: lines, the time left, trackers."""

from tests.mutants.mutant import Mutant

LINES, COUNTED = "tst_fast/report/test_lines.py", "tst_fast/commands/test_schedule.py"

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
]
