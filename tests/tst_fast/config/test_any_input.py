"""Whatever is written into flags and files is taken, or refused in a message of a few lines: never a traceback."""

import os
import string
import tempfile
from pathlib import Path

import yaml
from accelerate import Accelerator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tst_fast.config import reading
from tst_fast.config.schema import Config
from tst_fast.errors import UserError
from tst_fast.tasks import make_task

CASES = int(os.environ.get("TST_FAST_FUZZ_CASES", "250"))
"""`make fuzz` asks for twenty times as many."""

SETTINGS = list(reading.settings_of(Config()))
GROUPS = sorted({name.rpartition(".")[0] for name in SETTINGS if "." in name})
PRESETS = ("digits", "segmentation/scenes", "detection/scenes")
SAVED = [yaml.safe_dump(reading._plain(reading.from_flags([f"--config={name}"])), sort_keys=False) for name in PRESETS]
ACCELERATOR = Accelerator(cpu=True)
LONGEST = max(map(len, SAVED))

WORDS = """null ~ true no 0 -0 -1 1e30 1e400 -1e400 .nan .inf -.inf 0x10 1_000 1:30 2026-01-01 [] {} [[]] [null] {a:}
{1:2} *a &a ' " [ { - % @ ` | > # --- ... ../../x /dev/zero é 💥 auto listed a: !!binary !!set"""
LINES = [
    "",
    "{a: }",
    "{1: 2}",
    "{? [a] : b}",
    "!!set {a}",
    "&a [1]",
    "[&a [1], *a]",
    "a: b",
    "- a",
    "\0",
    "\x1b[2J",
    "\udcff",
]
odd = st.sampled_from([*WORDS.split(), *LINES, "9" * 400, "[" * 200, "{a: " * 50])
plain = st.one_of(odd, st.integers().map(str), st.floats().map(str), st.text(max_size=20))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=4),
    max_leaves=8,
)
flags = st.tuples(st.sampled_from([*SETTINGS, *GROUPS]), st.one_of(plain, values.map(yaml.safe_dump)))
files = st.one_of(
    st.lists(st.tuples(st.integers(0, LONGEST), st.integers(0, 30), plain), min_size=1, max_size=3),
    st.integers(0, LONGEST),
    st.tuples(st.sampled_from(SETTINGS), values),
    st.text(alphabet=string.printable, max_size=60),
)


def _text(saved, change) -> str:
    """A saved configuration with parts replaced, cut short, or with one other value; or any text."""
    if isinstance(change, str):
        return change
    if isinstance(change, int):
        return saved[:change]
    if isinstance(change, tuple):
        content = yaml.safe_load(saved)
        *groups, last = change[0].split(".")
        inner = content
        for group in groups:
            inner = inner[group]
        inner[last] = change[1]
        return yaml.safe_dump(content)
    text = saved
    for place, length, new in change:
        text = text[:place] + new + text[place + length :]
    return text


def _read(words) -> None:
    try:
        make_task(reading.from_flags(words), ACCELERATOR)  # which has checks of its own
    except UserError as error:
        message = str(error)
        assert 0 < len(message.splitlines()) <= 5, message
        assert not any(word in message for word in ("Union subtypes", "Traceback", "<class", "typing.")), message


@settings(max_examples=CASES // 2, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(PRESETS), st.lists(flags, min_size=1, max_size=2))
def test_flags(preset, given_flags):
    _read([f"--config={preset}", *(f"--{name}={value}" for name, value in given_flags)])


@settings(max_examples=CASES - CASES // 2, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(SAVED), files)
def test_files(saved, change):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mine.yaml"
        file.write_bytes(_text(saved, change).encode("utf-8", "surrogateescape"))
        _read(["--config", str(file)])
