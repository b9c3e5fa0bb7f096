"""The callback of Lightning does what a loop written out does, and goes on from Lightning's checkpoints."""

import copy
import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tst_fast import TST

lightning = pytest.importorskip("pytorch_lightning")
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # Lightning's advice
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
FILE = Path(__file__).parents[2] / "examples/lightning_callback.py"


@pytest.fixture(scope="module")
def example():
    specification = importlib.util.spec_from_file_location("lightning_callback", FILE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return [nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)) for _ in range(2)]


@pytest.fixture
def batches(networks):
    images = torch.randint(0, 256, (24, 16, 16, 3), dtype=torch.uint8)
    for network in networks:
        network(torch.zeros(1, 3, 16, 16))  # makes its last layer
    return DataLoader(TensorDataset(images, torch.arange(24) % 10), batch_size=8)


def trainer(epochs, *callbacks, **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return lightning.Trainer(
        max_epochs=epochs, callbacks=list(callbacks), **quiet, **{"enable_checkpointing": False, **options}
    )


def test_it_is_the_loop_written_out(example, networks, batches):
    """A search in the second of three epochs, SGD with one cycle: the same weights and policy to the bit."""
    teacher, student = networks
    other = copy.deepcopy(student)
    callback = example.TeachWhatYouShouldTeach(teacher, {1}, mean=example.MEAN, std=example.STD, learning_rate=0.5)
    torch.manual_seed(1)
    trainer(3, callback).fit(example.Classifier(student), batches)

    tst = TST(teacher, other, mean=example.MEAN, std=example.STD, learning_rate=0.5)
    optimizer = torch.optim.SGD(other.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 9)
    torch.manual_seed(1)
    for epoch in range(3):
        for images, labels in batches:
            if epoch == 1:
                tst.search(images, labels)
            optimizer.zero_grad()
            tst.loss(images, labels).backward()
            optimizer.step()
            schedule.step()
    assert callback.tst.policy.learned() == tst.policy.learned()
    assert {row.probability for row in tst.policy.learned()} != {0.5}
    for found, expected in zip(student.parameters(), other.parameters(), strict=True):
        assert torch.equal(found, expected)


def test_its_policy_is_in_the_checkpoint(example, networks, batches, tmp_path):
    teacher, student = networks
    settings = {"mean": example.MEAN, "std": example.STD, "learning_rate": 0.5}
    first, second = (example.TeachWhatYouShouldTeach(teacher, {0}, **settings) for _ in range(2))
    saving = lightning.callbacks.ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
    trainer(2, first, saving, enable_checkpointing=True).fit(example.Classifier(student), batches)
    continued = trainer(2, second)
    continued.fit(example.Classifier(student), batches, ckpt_path=tmp_path / "epoch=0.ckpt", weights_only=True)
    assert continued.global_step == 6 and continued.current_epoch == 2
    learned = first.tst.policy.learned()
    assert second.tst.policy.learned() == learned != TST(teacher, student, **settings).policy.learned()
