"""Faults made on purpose, and the test that must fail for each: `make mutants` makes them, see `mutate.py`."""

from tests.mutants import dense, method, run, users
from tests.mutants.mutant import Mutant

MUTANTS = [*method.MUTANTS, *run.MUTANTS, *dense.MUTANTS, *users.MUTANTS]

__all__ = ["MUTANTS", "Mutant"]
