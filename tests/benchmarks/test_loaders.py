"""The loaders' benchmark: its images are real, what is missing is said, and ratios are to the like."""

import itertools
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import loaders
from benchmarks.loaders import BATCH, Comparison
from benchmarks.results import Results


def giving(seconds):
    def stream():
        while True:
            time.sleep(seconds)
            yield None

    return stream


def test_without_dali_its_rows_say_so_and_the_others_are_measured(monkeypatch, capsys):
    monkeypatch.setattr(loaders, "HAS_DALI", False)
    arms = {"DALI, decode alone": None, "DataLoader": giving(0.02), "Ours": giving(0.01), "DaliLoader": None}
    results = Results({}, None)
    table = Comparison("JPEGs", arms, baseline="DataLoader", threads=2, decode="DALI, decode alone")
    loaders.measure(table, results, seconds=0.2, rounds=1)
    rows = {row["name"]: row for row in results.rows}
    assert rows["DaliLoader"]["note"] == rows["DALI, decode alone"]["note"] == "DALI is not installed"
    assert rows["DataLoader"]["ratio_to_baseline"] == 1 and "share_of_decode_rate" not in rows["Ours"]
    assert 1.2 < rows["Ours"]["ratio_to_baseline"] < 3
    assert rows["Ours"]["batch"] == BATCH and "Ours" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_small_images_are_of_one_kind_in_both_arms(dtype):
    small = loaders.small_images(None)
    arms = loaders.small_arms(small, workers=0, dtype=dtype)
    (images, _), (ours,) = next(arms["DataLoader"]()), itertools.islice(arms["CachedLoader"](), 1)
    ours = ours if dtype == torch.float32 else ours.images.permute(0, 3, 1, 2)
    assert images.dtype == ours.dtype == dtype and images.shape == ours.shape == (BATCH, 3, 32, 32)
    white = 1.0 if dtype == torch.float32 else 255
    assert images.max() == pytest.approx(white, rel=0.02) and ours.max() == pytest.approx(white, rel=0.02)


def test_photographs_are_of_imagenets_size(tmp_path):
    (tmp_path / "empty").mkdir()
    dataset = loaders.photographs(None, tmp_path)
    files = {dataset.path(number) for number in range(len(dataset))}
    assert len(dataset) == len(files) == loaders.MADE
    assert 40_000 < np.mean([Path(file).stat().st_size for file in files]) < 150_000
    with pytest.raises(SystemExit, match="no JPEG"):
        loaders.photographs(tmp_path / "empty", tmp_path)
