"""One message for an error that ends several processes: that of the process in which it happened.

The first to fail leaves its message in the store that the processes met in. The others, which lose contact with it or
meet the same error, find it there.
"""

import json
import os
import socket
import time

from torch import distributed

KEY = "tst_fast: what ended the processes"
GLOO_SAYS = "gloo/transport", "pair closure"
"""In a RuntimeError, if a connection to another process is at fault."""
PATIENCE = 5.0
"""Seconds that a process which knows less waits for the message of one that knows more."""


def is_met() -> bool:
    """Whether there are several processes that know of each other."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def message_to_show(message: str, knows_less: bool = False) -> str | None:
    """The message that this process, which is about to end, should print.

    Args:
        message: its own.
        knows_less: whether another may know better what happened: then its own counts only if none has come within
            `PATIENCE`.

    Returns:
        Its own message if it is the first; the first one's where that is on another machine, whose terminal may be
        another; else None.
    """
    try:
        store = distributed.distributed_c10d._get_default_store()
        deadline = time.monotonic() + (PATIENCE if knows_less else 0.0)
        while time.monotonic() < deadline and not store.check([KEY]):
            time.sleep(0.05)
        here = [socket.gethostname(), os.environ.get("GROUP_RANK", "0"), distributed.get_rank()]
        first, said = json.loads(store.compare_set(KEY, "", json.dumps([here, message])))
    except RuntimeError:  # the process that holds the store is gone: it has said why, or its launcher does
        return None if knows_less else message
    if first == here:
        return message
    speaks = os.environ.get("LOCAL_RANK", "0") == "0" and first[:2] != here[:2]
    return f"process {first[2]}, on {first[0]}: {said}" if speaks else None


def lost_contact(error: Exception) -> str | None:
    """What to say of an error that only means that another process does not answer; None of any other."""
    text = str(error)
    if not isinstance(error, distributed.DistError) and not any(said in text for said in GLOO_SAYS):
        return None
    if "timed out" in text.lower() or "timeout" in text.lower():
        return (
            "another process did not answer within --timeout: it hangs, or needs longer than that for what the others "
            "wait for"
        )
    return (
        "another process is gone and has left no message: it was killed, for memory perhaps (the kernel's log says so) "
        f"[{text.splitlines()[0][:200]}]"
    )
