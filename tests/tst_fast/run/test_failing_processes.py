"""Of several processes one fails: all end, soon, and one message says why."""

import json
import threading
from pathlib import Path

import pytest
from torch import distributed

from tests.tst_fast.processes import only, start, start_ranks
from tst_fast import rank_errors

PROGRAM = str(Path(__file__).with_name("failing.py"))


def _ended(kind, rank, folder, flags, hung=()):
    """Exit status and the lines after those of the progress, of each process; those that hang are killed at the end."""
    ranks = start_ranks([PROGRAM, kind, str(rank), *flags, f"--output={folder}"], kind=start)
    found: list[tuple[int, list[str]]] = []
    for number in sorted(range(len(ranks)), key=lambda number: number in hung):
        if number in hung:
            ranks[number].kill()
        said, _ = ranks[number].communicate(timeout=120)
        said = [line for line in said.splitlines() if line.startswith(("error", "Traceback", "  File", "[", "W"))]
        found.insert(number, (ranks[number].returncode, said))
    return found


def test_the_process_that_fails_says_so_and_no_other(tiny_flags, tmp_path):
    (first, nothing), (second, (message,)) = _ended("error", 1, tmp_path, tiny_flags)
    assert (first, second) == (1, 1) and nothing == []
    (traceback,) = only(tmp_path).glob("traceback-*.txt")
    assert message == f"error: TypeError: a bug; the traceback is in {traceback}"


class _Process:
    """What a process prints that is about to end, among those that meet in a store."""

    def __init__(self, monkeypatch, store):
        self.monkeypatch, self.store = monkeypatch, store

    def __call__(self, machine, rank, local, message, knows_less=False):
        with self.monkeypatch.context() as patch:
            patch.setattr(distributed.distributed_c10d, "_get_default_store", lambda: self.store)
            patch.setattr(distributed, "get_rank", lambda: rank)
            patch.setattr(rank_errors.socket, "gethostname", lambda: machine)
            patch.setattr(rank_errors, "PATIENCE", 0.2)
            patch.setenv("LOCAL_RANK", str(local))
            return rank_errors.message_to_show(message, knows_less)


def test_the_first_message_is_the_one_of_all(monkeypatch):
    prints = _Process(monkeypatch, distributed.HashStore())
    assert prints("one", 1, 1, "a bug") == "a bug"
    assert prints("one", 0, 0, "a bug") is None
    assert prints("one", 2, 2, "gone", knows_less=True) is None
    assert prints("other", 4, 0, "gone", knows_less=True) == "process 1, on one: a bug"  # in a terminal of its own
    assert prints("other", 5, 1, "gone", knows_less=True) is None


def test_who_knows_less_speaks_if_nobody_else_does(monkeypatch):
    prints = _Process(monkeypatch, distributed.HashStore())
    assert prints("one", 1, 1, "gone", knows_less=True) == "gone"
    assert prints("one", 0, 0, "gone", knows_less=True) is None


def test_who_knows_less_waits_for_who_knows_more(monkeypatch):
    store = distributed.HashStore()
    said = json.dumps([["one", "0", 1], "a bug"])
    late = threading.Timer(0.05, lambda: store.set(rank_errors.KEY, said))
    late.start()
    assert _Process(monkeypatch, store)("one", 0, 0, "gone", knows_less=True) is None
    late.join()


def test_without_the_process_that_held_the_store(monkeypatch):
    class Gone:
        def check(self, *_):
            raise distributed.DistNetworkError("connection reset")

        compare_set = check

    prints = _Process(monkeypatch, Gone())
    assert prints("one", 1, 1, "gone", knows_less=True) is None
    assert prints("one", 1, 1, "a bug") == "a bug"


@pytest.mark.long
def test_the_process_whose_images_made_the_nan_names_them(tiny_flags, tmp_path):
    (_, others), (_, (message,)) = _ended("nan", 1, tmp_path, tiny_flags)
    assert others == [] and "loss is not finite at step 2" in message and "in the batch of" in message


@pytest.mark.long
def test_a_process_that_is_killed_is_told_by_another(tiny_flags, tmp_path):
    (status, (message,)), (killed, nothing) = _ended("killed", 1, tmp_path, tiny_flags)
    assert (status, killed) == (1, -9) and nothing == []
    assert message.startswith("error: another process is gone and has left no message")


def test_a_process_that_hangs_is_waited_for_as_long_as_timeout_says(tiny_flags, tmp_path):
    (status, (message,)), _ = _ended("hung", 1, tmp_path, [*tiny_flags, "--timeout=4"], hung={1})
    assert status == 1 and message.startswith("error: another process did not answer within --timeout")


@pytest.mark.long
def test_what_is_wrong_for_all_is_said_once(tiny_flags, tmp_path):
    found = _ended("error", 9, tmp_path, [*tiny_flags, "--timeout=0"])
    assert [status for status, _ in found] == [1, 1]
    assert [said for _, said in found] == [["error: --timeout is 0.0: it must be a number from 1 to 1,000,000"], []]
