"""The pictures of a search show what they say: PNGs against PIL, single operations and the teacher itself."""

from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file

from tests.tst_fast.events import events_of
from tst_fast.models import ConvNet
from tst_fast.policy.augmenter import Augmenter
from tst_fast.policy.file import PolicyFile
from tst_fast.policy.policy import Policy
from tst_fast.report.metrics import STRIP_GAP
from tst_fast.run.pictures import IMAGES, fixed_images
from tst_fast.run.seeding import Stream, reseed
from tst_fast.run.start import open_run
from tst_fast.tasks.classification import Classification
from tst_kernels import OPERATIONS, apply
from tst_pipelines import digits

SIDE = 32  # pixels of a digit
WHOLE = f"--data.image_size={SIDE}"  # not its middle alone


@pytest.fixture(scope="module")
def searched(whole_run, tiny_config, tmp_path_factory):
    """A run of two searches, whose policy moves far."""
    teacher = f"--teacher.checkpoint={whole_run.folder / 'teacher.safetensors'}"
    flags = "--policy.search_at=[0, 1]", "--policy.learning_rate=20", "--student_training.epochs=2"
    config = tiny_config(teacher, WHOLE, *flags)
    with closing(open_run(config, tmp_path_factory.mktemp("searched"), Accelerator(cpu=True), quiet=True)) as run:
        run.run()
    return run


@pytest.fixture(scope="module")
def search(searched):
    """The event of the last search."""
    return events_of(searched.folder, "search")[-1]


@pytest.fixture(scope="module")
def rows(search, searched):
    """Of each picture, its rows of images: uint8 [rows, 8, 32, 32, 3]."""
    return {name: _cells(searched.folder / file) for name, file in search["pictures"].items()}


def _cells(file):
    with Image.open(file) as picture:
        assert picture.format == "PNG" and picture.mode == "RGB"
        pixels = np.asarray(picture)
    step = SIDE + STRIP_GAP
    padded = np.pad(pixels, ((0, STRIP_GAP), (0, STRIP_GAP), (0, 0)))
    assert padded.shape[0] % step == padded.shape[1] % step == 0
    grid = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step, 3).swapaxes(1, 2)
    return grid[:, :, :SIDE, :SIDE]


def _fixed():
    """The test images that are shown, and their labels."""
    test = digits()[1]
    positions = np.linspace(0, len(test) - 1, IMAGES).astype(int)
    return np.stack([np.asarray(Image.open(test.path(i)).convert("RGB")) for i in positions]), test.labels[positions]


def test_there_is_a_strip_of_each(rows):
    assert {name: cells.shape[:2] for name, cells in rows.items()} == {
        "plain": (1, IMAGES),
        "trained": (1, IMAGES),
        "untrained": (1, IMAGES),
        "operations": (14, IMAGES),
    }


def test_plain_ones_are_the_test_images(rows):
    images, labels = _fixed()
    assert np.array_equal(rows["plain"][0], images)
    assert len(set(labels)) == IMAGES  # as many classes as there is room for


def test_policies_change_most_of_them_and_not_alike(rows):
    for one, other in (("trained", "plain"), ("untrained", "plain"), ("trained", "untrained")):
        changed = (rows[one] != rows[other]).any(axis=(0, 2, 3, 4))
        assert changed.mean() > 0.5, (one, other)


def test_the_trained_policy_is_the_one_that_learned(rows, searched):
    """Both are drawn from alike, each image for itself, and nothing was learned after this search."""
    images, settings, data = torch.from_numpy(_fixed()[0]), searched.config.policy, searched.config.data
    for name, init in (("trained", searched.folder / "policy.json"), ("untrained", None)):
        policy = Policy(settings.operations, settings.operations_per_image, False, settings.temperature)
        if init:
            policy.load(init)
        reseed(searched.config.seed, Stream.PICTURES)
        with torch.no_grad():
            result = Augmenter(policy, settings, data)(images).images.permute(0, 2, 3, 1).double().numpy()
        expected = 255 * np.clip(result * np.array(data.std) + np.array(data.mean), 0, 1)
        assert np.abs(rows[name][0] - expected).max() <= 1, name


def test_each_operation_is_shown_alone_at_its_learned_level(rows, searched):
    images = torch.from_numpy(_fixed()[0])
    learned = PolicyFile.read(searched.folder / "policy.json").operations  # nothing was learned after this search
    fill = np.round(255 * np.array(searched.config.data.mean))
    for row, shown in zip(learned, rows["operations"], strict=True):
        if row.operation == "Cutout":
            erased = np.abs(shown - fill).max(axis=-1) <= 1
            assert 0.1 < erased.mean() < 0.5 and erased[:, SIDE // 2, SIDE // 2].all()
            continue
        level = row.level if OPERATIONS[row.operation].has_level else None
        expected = 255 * apply(images, row.operation, level).clamp(0, 1).permute(0, 2, 3, 1).double().numpy()
        assert np.abs(shown - expected).max() <= 1, row.operation


def test_confidences_and_answers_are_those_of_the_networks(search, rows, searched):
    for name in ("plain", "trained", "untrained"):
        assert set(search["confidences"][name]) == {"teacher", "student"}
        for values in search["confidences"][name].values():
            assert len(values) == IMAGES and all(0 <= value <= 1 for value in values)
    assert search["confidences"]["trained"] != search["confidences"]["untrained"] != search["confidences"]["plain"]
    teacher = ConvNet(10, channels=[4, 8]).eval()
    teacher.load_state_dict(load_file(searched.config.teacher.checkpoint))
    mean, std = (np.array(values) for values in (searched.config.data.mean, searched.config.data.std))
    pixels = (rows["plain"][0] / 255 - mean) / std
    with torch.no_grad():
        logits = teacher(torch.from_numpy(pixels.transpose(0, 3, 1, 2)).float()).double().numpy()
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = (powers / powers.sum(axis=1, keepdims=True))[range(IMAGES), _fixed()[1]]
    assert search["confidences"]["plain"]["teacher"] == pytest.approx(expected, rel=1e-4)
    answers = search["answers"]
    assert set(answers) == {"plain", "trained", "untrained"}
    assert all(set(said) == {"truth", "teacher", "student"} for said in answers.values())
    names = digits()[1].classes
    assert answers["plain"]["teacher"] == [names[label] for label in logits.argmax(axis=1)]
    assert all(said["truth"] == [names[label] for label in _fixed()[1]] for said in answers.values())
    assert answers["trained"]["student"] != answers["trained"]["truth"]


def test_a_search_keeps_the_pictures_of_the_one_before(searched):
    files = [file for event in events_of(searched.folder, "search") for file in event["pictures"].values()]
    assert len(set(files)) == 2 * 4
    assert sorted(files) == sorted(
        file.relative_to(searched.folder).as_posix() for file in searched.folder.glob("pictures/*")
    )


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_several_processes_show_the_same_images(ranks, tiny_config):
    """The main process alone draws, and its share of the test images is the first one."""
    config, device = tiny_config(WHOLE), Accelerator(cpu=True).device
    accelerator = SimpleNamespace(num_processes=ranks, process_index=0, device=device)
    task = Classification(config, accelerator)
    session = SimpleNamespace(task=task, accelerator=accelerator, splits=task.splits())
    assert np.array_equal(fixed_images(session).images.numpy(), _fixed()[0])
