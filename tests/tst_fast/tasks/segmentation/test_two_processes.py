"""Two processes count and learn what one does, though one of them has far fewer labelled pixels."""

import json
import socket

import numpy as np
import pytest
import torch
import torch.multiprocessing
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from tst_fast.losses.dense import cwd, rows
from tst_fast.losses.distillation import kd
from tst_fast.losses.pixels import cell_weights, pixel_cross_entropy, pixel_weights
from tst_fast.models.segmentation import SegmentationOutput
from tst_fast.tasks.metrics.segmentation import ConfusionMatrix
from tst_pipelines import Batch

NAMES = ("road", "sky", "tree")


def _data():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 8, 12, generator=generator)
    labels = torch.randint(0, 3, (4, 8, 12), generator=generator).byte()
    labels[2, 1:], labels[3] = 255, 255
    return images, labels


def _counts_and_learns(accelerator):
    """Scores on this rank's half of the images, or all, and the gradient of one step on them."""
    images, labels = (values.chunk(accelerator.num_processes)[accelerator.process_index] for values in _data())
    torch.manual_seed(1)
    network = accelerator.prepare(nn.Conv2d(3, 3, 2, stride=2))
    evaluator = ConfusionMatrix(NAMES, accelerator.device)
    logits = network(images)
    output = SegmentationOutput(logits)
    evaluator.update(SegmentationOutput(logits.detach()), Batch(images, labels, np.arange(len(images))))
    weights = pixel_weights(labels)
    cells = cell_weights(weights, (4, 6))
    loss = pixel_cross_entropy(output.resized(logits, (8, 12)), labels, weights)
    teacher = logits.detach().roll(1, 1)
    loss = loss + kd(rows(logits), rows(teacher), None, cells.flatten(), tau=2.0) + cwd(logits, teacher, cells, tau=2.0)
    accelerator.backward(loss)
    gradient = accelerator.unwrap_model(network).weight.grad.flatten().tolist()
    return {"scores": evaluator.result(accelerator).scores, "gradient": gradient}


def _process(rank, port, folder):
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    variables["OMP_NUM_THREADS"] = 1
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, str(value))
        AcceleratorState._reset_state(reset_partial_state=True)  # what the fork has of earlier tests
        found = _counts_and_learns(Accelerator(cpu=True))
        torch.distributed.destroy_process_group()
    (folder / f"{rank}.json").write_text(json.dumps(found))


def test_two_processes_give_what_one_gives(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(_process, (port, tmp_path), nprocs=2, start_method="fork")
    expected = _counts_and_learns(Accelerator(cpu=True))
    for rank in range(2):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found["scores"] == expected["scores"]
        np.testing.assert_allclose(found["gradient"], expected["gradient"], rtol=1e-5, atol=1e-7)
