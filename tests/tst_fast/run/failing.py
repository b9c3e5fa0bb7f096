"""train.py, of which one process fails in the third update: `failing.py KIND RANK`, then train.py's arguments."""

import dataclasses
import os
import signal
import sys
import time

from tst_fast.run.update import ModelUpdate
from tst_fast.train import main

KIND, RANK = sys.argv[1], sys.argv[2]


def _fail(batch):
    if KIND == "error":
        raise TypeError("a bug")
    if KIND == "nan":
        return dataclasses.replace(batch, images=batch.images.float().permute(0, 3, 1, 2) * float("nan"))
    os.kill(os.getpid(), {"killed": signal.SIGKILL, "hung": signal.SIGSTOP}[KIND])
    return batch


def _failing(step):
    count = 0

    def wrapped(self, batch):
        nonlocal count
        count += 1
        if count == 3 and os.environ["RANK"] == RANK:
            batch = _fail(batch)
        elif count == 3:
            time.sleep(float(os.environ.get("OTHERS_SLEEP", "0")))
        return step(self, batch)

    return wrapped


ModelUpdate.step = _failing(ModelUpdate.step)
main(sys.argv[3:])
