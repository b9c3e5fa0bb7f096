"""Faults of the pages and of what they are made of."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant(
        "an operator's time is its arithmetic alone",
        "benchmarks/operators.py",
        "max(flops / flops_rate, size / byte_rate)",
        "flops / flops_rate",
        "benchmarks/test_hours.py::test_each_operator_takes_the_longer_of_arithmetic_and_traffic",
    ),
    Mutant(
        "hours without the searches",
        "benchmarks/hours.py",
        "sum(counts[kind] * slowest[kind] for kind in kinds)",
        'counts["student"] * slowest["student"]',
        "benchmarks/test_hours.py::test_hours_are_steps_times_the_slowest_part",
    ),
    Mutant(
        "a student's step sees each image once",
        "benchmarks/hours.py",
        "(seen + training).times(2 * an_image)",
        "(seen + training).times(an_image)",
        "benchmarks/test_hours.py::test_a_students_step_and_a_searchs_are_what_pytorch_counts",
    ),
    Mutant(
        "the callback of Lightning searches in every epoch",
        "examples/lightning_callback.py",
        "if trainer.current_epoch in self.search_at:\n            with",
        "if True:\n            with",
        "examples/test_lightning_callback.py::test_it_is_the_loop_written_out",
    ),
    Mutant(
        "the callback forgets what a checkpoint has",
        "examples/lightning_callback.py",
        "self._state = state_dict",
        "self._state = None",
        "examples/test_lightning_callback.py::test_its_policy_is_in_the_checkpoint",
    ),
    Mutant(
        "a page shows a command that does not exist",
        "docs/data.md",
        "tst-fast verify-data IMAGES\n",
        "tst-fast verify IMAGES\n",
        "docs/test_commands.py::test_every_command_of_the_pages_is_run_or_said_not_to_be",
    ),
]
