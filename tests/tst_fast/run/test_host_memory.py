"""Memory that a step frees is not given back to the kernel, which would clear each page of it for the next step."""

import subprocess
import sys

import pytest

from tst_fast.run import host_memory
from tst_fast.run.host_memory import SETTINGS, keep_freed_memory

PROGRAM = """
import resource, sys, torch
from tst_fast.run.host_memory import keep_freed_memory

torch.set_num_threads(1)
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit("not glibc")

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(12):  # the heap settles
    torch.ones(2**24)  # 64 MiB
before = faults()
for _ in range(10):
    torch.ones(2**24)
print(faults() - before)
"""


def faults_of(what):
    """Page faults of ten tensors, one after the other."""
    answer = subprocess.run([sys.executable, "-c", PROGRAM, what], capture_output=True, text=True)
    if "not glibc" in answer.stderr:
        pytest.skip("needs glibc")
    return int(answer.stdout)


def test_a_freed_tensors_pages_serve_the_next():
    assert faults_of("keep") < 100
    assert faults_of("as it is") > 1000  # ten times 64 MiB, in pages of 4 KiB or of 64 KiB


@pytest.mark.parametrize("name", SETTINGS)
def test_what_the_environment_says_stays(name, monkeypatch):
    monkeypatch.setenv(name, "131072")
    monkeypatch.setattr(host_memory.ctypes, "CDLL", lambda _: pytest.fail("it was changed"))
    assert not keep_freed_memory()


def test_without_glibc_nothing_is_done(monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(host_memory.ctypes, "CDLL", lambda _: object())
    assert not keep_freed_memory()
