"""Make the faults of `mutants`, in a copy of the tree, one at a time: `make mutants`.

The table has failed where a fault goes unseen, where its old text no longer stands exactly once in its file (change the
row with the code), and where the test fails without any fault.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[1]
FAILED = 1
"""pytest's exit status where tests failed, and not something else."""


def copy_tree(folder: Path) -> None:
    """What git knows of, as it stands in the tree."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def run_tests(folder: Path, tests: Sequence[str]) -> int:
    """pytest's exit status, in a copy of the tree."""
    packages = os.pathsep.join(str(folder / part) for part in (".", "kernels", "pipelines"))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"}
    names = [f"tests/{test}" for test in tests]
    return subprocess.run([*command, *names], cwd=folder, env=environment, capture_output=True, timeout=600).returncode


def verdict(mutant: Mutant, folder: Path) -> str | None:
    """What is wrong with a row of the table, or None; the copy is left as it was."""
    file = folder / mutant.file
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if text.count(mutant.old) != 1:
        return f"its old text stands {text.count(mutant.old)} times in {mutant.file}"
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        status = run_tests(folder, [mutant.test])
    finally:
        file.write_text(text, encoding="utf-8")
    return None if status == FAILED else f"{mutant.test} does not see it (pytest's exit status {status})"


def main(words: Sequence[str]) -> None:
    """Make each fault, or those alone whose words hold one of `words`; exit status 1 if the table has failed."""
    chosen = [m for m in MUTANTS if not words or any(word in f"{m.what} {m.file} {m.test}" for word in words)]
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        copy_tree(folder)
        if run_tests(folder, sorted({mutant.test for mutant in chosen})):
            sys.exit("error: these tests do not all pass before any fault is made: run them with pytest first")
        for mutant in chosen:
            fault = verdict(mutant, folder)
            wrong += fault is not None
            print(f"{'seen' if fault is None else 'WRONG'}: {mutant.what}{f': {fault}' if fault else ''}", flush=True)
    print(f"{len(chosen)} faults, {wrong} rows wrong")
    sys.exit(1 if wrong or not chosen else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
