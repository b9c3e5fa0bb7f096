"""What a run was made with, and what of it has changed since: settings, files of weights, images."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tst_fast.config import reading
from tst_fast.config.kinds import from_json
from tst_fast.config.schema import Config
from tst_fast.errors import UserError, reason
from tst_fast.models.weights import sha256_of, weights_file
from tst_fast.policy.file import policy_file
from tst_fast.run.session import Session
from tst_pipelines.datasets.stamps import stamp_of
from tst_pipelines.writing import write_text_whole

RECORD = "overrides.jsonl"
FILES = "files."
"""What the keys begin with that are no settings, but stand for what is in files."""
INCIDENTAL = ("output", "timeout", "track", "data.threads")
"""Settings that change nothing of what a run computes."""
SHOWN = 20

MAX_BYTES = 32 * 2**20
"""Of the record."""


@dataclass(frozen=True)
class Statement:
    """A line of the record.

    Attributes:
        key: a setting, or `files.` and what is in them.
        was: its value before.
        now: the value that the run goes on with.
        step: of the run, from which it does.
        time: when that was stated, ISO 8601.
    """

    key: str
    was: Any
    now: Any
    step: int
    time: str


def origin_of(session: Session) -> dict[str, Any]:
    """Every setting by its dotted name, and what is in files.

    `files.teacher`, `files.student` and `files.policy` are the SHA-256 of what the run starts from, `files.data` stands
    for sizes and times of the images below `data.root`.
    """
    config, origin = session.config, reading.settings_of(session.config)
    for name in INCIDENTAL:
        del origin[name]
    given = {role: getattr(config, role).checkpoint for role in ("teacher", "student")}
    files = {role: weights_file(chosen, role) for role, chosen in given.items() if chosen}
    if (init := config.policy.init) and str(init) != "random":
        files["policy"] = policy_file(Path(init), "--policy.init")
    for name, file in files.items():
        origin[f"{FILES}{name}"] = sha256_of(file)
    if config.data.root is not None:
        stamps = "".join(stamp_of(split) for split in (session.splits.train, session.splits.test))
        origin[f"{FILES}data"] = hashlib.sha256(stamps.encode()).hexdigest()[:16]
    return origin


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What has changed that counts, by key; a setting that there was not yet counts as its default."""
    known = {**reading.settings_of(Config()), **then}
    keys = sorted({*then, *now} - set(INCIDENTAL))
    return {key: (known.get(key), now.get(key)) for key in keys if known.get(key) != now.get(key)}


def require_stated(changed: Mapping[str, tuple[Any, Any]], overrides: Mapping[str, str], folder: Path) -> None:
    """Refuse what has changed unless it was stated, now or when the run was resumed before.

    Args:
        changed: `differences`.
        overrides: key to value, as `--override KEY=VALUE` gives them; settings among them are applied already.
        folder: the run's.

    Raises:
        UserError: every key, with what it was and is; and how to go on with it.
    """
    stated = recorded(folder)

    def is_stated(key: str, now: Any) -> bool:
        if key in overrides:
            return not key.startswith(FILES) or overrides[key] == now
        return key in stated and stated[key] == now

    unstated = {key: values for key, values in changed.items() if not is_stated(key, values[1])}
    if not unstated:
        return
    lines = [f"  {key} was {_shown(then)}, now {_shown(now)}" for key, (then, now) in unstated.items()]
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"  and {len(lines) - SHOWN} more"]
    key, (_, now) = next(iter(unstated.items()))
    raise UserError(
        f"{folder} would not go on as it began:\n"
        + "\n".join(lines)
        + f"\nPut back what was, or state what is meant, each with --override, such as --override {key}={_shown(now)}"
    )


def record(changed: Mapping[str, tuple[Any, Any]], step: int, folder: Path) -> None:
    """Write down what the run goes on with from this step, in `overrides.jsonl`, a key a line."""
    known, stated = recorded(folder), _statements(folder)
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    new = {key: values for key, values in changed.items() if key not in known or known[key] != values[1]}
    stated += [Statement(key, then, now, step, time) for key, (then, now) in new.items()]
    if new:
        lines = [json.dumps(dataclasses.asdict(statement)) + "\n" for statement in stated]
        write_text_whole(folder / RECORD, "".join(lines))


def recorded(folder: Path) -> dict[str, Any]:
    """What was stated when the run was resumed before, by key.

    Raises:
        UserError: the record cannot be read, or a line of it is not what it must be.
    """
    return {statement.key: statement.now for statement in _statements(folder)}


def _statements(folder: Path) -> list[Statement]:
    file, number = folder / RECORD, 0
    try:
        if not file.exists():
            return []
        if file.stat().st_size > MAX_BYTES:
            raise ValueError(f"the file has more than {MAX_BYTES:,} bytes")
        found = []
        for line in file.read_text(encoding="utf-8").splitlines():
            number += 1
            found.append(from_json(Statement, json.loads(line)))
        return found
    except OSError as error:
        raise UserError(f"{file} cannot be read: {reason(error)}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}, line {number}, cannot be read: {error}") from None


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
