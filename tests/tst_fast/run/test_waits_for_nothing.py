"""Nothing in a step reads a value from the device, which would have to wait for it: of any task, in any stage."""

import traceback

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.kills import DETECTION, SEGMENTATION, SHORT
from tests.tst_fast.boxes import coco_flags, write_coco
from tests.tst_fast.label_maps import pairs_flags, write_pairs
from tst_fast.config import reading
from tst_kernels import draw

ATEN = torch.ops.aten
SIZES_FROM_VALUES = {ATEN.nonzero, ATEN.masked_select, ATEN._unique2, ATEN.unique_consecutive, ATEN.unique_dim}
READS = {ATEN._local_scalar_dense, ATEN.equal, ATEN.is_nonzero} | SIZES_FROM_VALUES
CALLS = {torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.item, torch.Tensor.__array__}


class _Reads(TorchDispatchMode):
    """Where values are read, or decide a size: `item`, `bool`, a mask as an index."""

    def __init__(self):
        super().__init__()
        self.places = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        packet = function.overloadpacket
        masked = packet is ATEN.index and any(one is not None and one.dtype == torch.bool for one in args[1])
        if packet in READS or masked:
            _note(self.places, packet)
        return function(*args, **(kwargs or {}))


class _Calls(TorchFunctionMode):
    """Where tensors are asked for what is in host memory, which on a CPU costs nothing."""

    def __init__(self):
        super().__init__()
        self.places = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in CALLS:
            _note(self.places, function)
        return function(*args, **(kwargs or {}))


# torchvision's losses of detectors take lists and index by masks; of kernels, the reference runs on CPUs alone.
NOT_OURS = ("/torchvision/", "in listed", "torch/autograd/graph.py", "tst_kernels/reference.py")


def _note(places, what):
    files = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_stack()]
    if not any(other in file for file in files for other in NOT_OURS):
        places.append((what, [file for file in files if "/tests/" not in file and "/tst_" in file][-2:]))


def _flags(task, folder, tiny_flags):
    if task == "recognition":
        return [*tiny_flags, "--student_training.clip_norm=1", "--student_training.ema_decay=0.9"]
    if task == "segmentation":
        return [*SEGMENTATION, *SHORT, *pairs_flags(write_pairs(folder / "pairs"))]
    return [*DETECTION, *SHORT, *coco_flags(write_coco(folder / "boxes"))]


@pytest.mark.parametrize("task", ["recognition", "segmentation", "detection"])
def test_no_step_waits(task, tiny_flags, make_run, tmp_path, monkeypatch):
    monkeypatch.setattr(draw, "are_values_known", lambda *tensors: False)  # as on a GPU
    session = make_run(reading.from_flags(_flags(task, tmp_path, tiny_flags))).session
    batch = next(iter(session.training_loader))
    session.learners.search.window = 1000  # at whose end the plateau rule reads the loss
    for stage in ("teacher", "search", "student"):
        learner = session.learners.of(stage)
        mixed = session.mixing[stage](batch)
        learner.step(mixed)
        with _Calls() as calls, _Reads() as reads, pytest.MonkeyPatch.context() as patch:
            patch.setattr(learner.optimizer, "step", lambda: None)  # torch's, whose counts lie in host memory
            learner.step(mixed)
        assert [*calls.places, *reads.places] == [], stage
