"""Faults made on purpose, and the test that must fail for each: `make mutants` makes them, see `mutate.py`."""

from tests.mutants import dense, docs, kernels, method, progress, run, users
from tests.mutants.mutant import Mutant

PARTS = dense, docs, kernels, method, progress, run, users
MUTANTS = [mutant for part in PARTS for mutant in part.MUTANTS]

__all__ = ["MUTANTS", "Mutant"]
