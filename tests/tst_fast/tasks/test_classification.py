"""Which data and which loader a configuration stands for."""

import dataclasses

import numpy as np
import pytest
from accelerate import Accelerator
from PIL import Image
from torch import nn

from tst_fast.config.data import DataConfig
from tst_fast.config.schema import Config, LossConfig
from tst_fast.errors import UserError
from tst_fast.tasks.classification import Classification, load_splits
from tst_pipelines import ArrayDataset, CachedLoader, DaliLoader, SyntheticLoader, digits, image_folder
from tst_pipelines.loaders import cached

SMALL = {"image_size": 32, "batch_size": 8, "crop": "pad"}


def _task(data, seed=0):
    return Classification(Config(data=data, seed=seed), Accelerator(cpu=True))


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "test"):
        for label in range(10):
            (tmp_path / split / str(label)).mkdir(parents=True)
            Image.new("RGB", (40, 36), (label, 0, 0)).save(tmp_path / split / str(label) / "0.png")
    return tmp_path


ARRAY = ArrayDataset(np.zeros((20, 32, 32, 3), np.uint8), np.zeros(20, np.int64), ("a",), "zeros")


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, CachedLoader),
        ({"loader": "dali"}, DaliLoader),
        ({"crop": "random_resized"}, DaliLoader),
        ({"image_size": 512}, DaliLoader),  # above the limit that the test sets
    ],
)
def test_files_are_cached_where_they_fit(folder, monkeypatch, changes, kind):
    monkeypatch.setattr(cached, "CACHE_LIMIT", 2**20)
    config, dataset = DataConfig(**{**SMALL, **changes}), image_folder(folder / "train")
    with _task(config).training_loader(dataset, 0) as loader:
        assert type(loader) is kind
        (batch,) = loader
    assert batch.images.shape == (8, config.image_size, config.image_size, 3)
    with _task(config).evaluation_loader(dataset) as loader:
        assert type(loader) is kind
        assert sum(map(len, loader)) == 10


def test_images_without_files_are_cached():
    with _task(DataConfig(**SMALL)).training_loader(ARRAY, 0) as loader:
        assert type(loader) is CachedLoader
    with pytest.raises(UserError, match=r"--data.loader dali reads image files, and this cifar10 has none: use cached"):
        _task(DataConfig(**SMALL, name="cifar10", loader="dali")).training_loader(ARRAY, 0)
    with pytest.raises(ValueError, match="use PadAndCrop"):
        _task(DataConfig(**{**SMALL, "crop": "random_resized"})).training_loader(ARRAY, 0)


def test_the_digits_are_cached_with_the_bytes_of_dali():
    for dataset in digits():
        config = DataConfig(**SMALL, padding=2, flip=0.0)
        ours = _task(config).training_loader(dataset, 7)
        assert type(ours) is CachedLoader
        theirs = _task(dataclasses.replace(config, loader="dali")).training_loader(dataset, 7)
        assert all((a.images == b.images).all() for a, b in zip(ours, theirs, strict=True))


def test_cifar_is_read_from_its_root(folder):
    splits = load_splits(DataConfig(name="cifar10", root=folder))
    assert (len(splits.train), len(splits.test), len(splits.train.classes)) == (10, 10, 10)


def test_synthetic_data_of_the_counts_asked_for():
    config = DataConfig(name="synthetic", images=45, classes=3, **SMALL)
    splits = load_splits(config)
    assert (len(splits.train), len(splits.test), len(splits.train.classes)) == (45, 4, 3)
    with _task(config).training_loader(splits.train, 0) as loader:
        assert type(loader) is SyntheticLoader
        assert [batch.images.shape for batch in loader] == [(8, 32, 32, 3)] * 5


def test_a_run_on_synthetic_data(tiny_config, make_run):
    flags = ("--data.name=synthetic", "--data.images=200", "--data.classes=10", "--policy.search_at=[]")
    result = make_run(tiny_config(*flags)).run()
    assert result["test_images"] == 20


def test_cifar_without_a_root_is_refused(tiny_config):
    with pytest.raises(UserError, match=r"--data.root is missing"):
        tiny_config("--data.name=cifar100")


def test_a_fraction_of_the_training_images_keeps_each_class_and_all_test_images():
    whole, tenth = (load_splits(DataConfig(name="digits", fraction=fraction)) for fraction in (1.0, 0.1))
    assert np.bincount(tenth.train.labels).tolist() == [4] * 10
    assert set(tenth.train.files) < set(whole.train.files)
    assert (len(tenth.test), len(whole.test)) == (1397, 1397)


@pytest.mark.parametrize(
    ("loss", "named"),
    [
        ({"name": "dkd"}, "--loss.name dkd"),
        ({"name": "dist"}, "--loss.name dist"),
        ({"standardise": True}, "--loss.standardise true"),
    ],
)
def test_losses_that_compare_classes_need_two(loss, named):
    task, network = Classification(Config(loss=LossConfig(**loss)), Accelerator(cpu=True)), nn.Linear(1, 1)
    task.check_pair(network, network, 2)
    with pytest.raises(UserError, match=f"{named} compares .*, and there is one class: give --loss.name kd"):
        task.check_pair(network, network, 1)
