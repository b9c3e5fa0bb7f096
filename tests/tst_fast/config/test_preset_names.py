"""A preset is found by its task and name, and by its name alone where only one task has it."""

import pytest

from tst_fast.config import reading
from tst_fast.errors import UserError


@pytest.fixture
def presets(tmp_path, monkeypatch):
    """Two tasks with a preset of the same name, and one that only one of them has."""
    for seed, name in enumerate(("classification/small", "segmentation/small", "segmentation/large")):
        file = tmp_path / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"seed: {seed}\ndata: {{name: digits}}\n")
    monkeypatch.setattr(reading, "PRESETS", tmp_path)


@pytest.mark.parametrize(
    ("name", "seed"), [("classification/small", 0), ("segmentation/small", 1), ("segmentation/large", 2), ("large", 2)]
)
@pytest.mark.parametrize("form", ["--config {}", "--config={}"])
def test_a_preset_is_found(presets, name, seed, form):
    assert reading.from_flags(form.format(name).split()).seed == seed


def test_the_presets_of_an_ambiguous_name_are_listed(presets):
    with pytest.raises(UserError, match=r"--config small .* say classification/small or segmentation/small"):
        reading.from_flags(["--config=small"])


@pytest.mark.parametrize("name", ["detection/small", "smal", "classification"])
def test_an_unknown_name_is_refused_and_says_what_lists_them(presets, name):
    with pytest.raises(UserError, match=f"--config {name}: no file, and no preset of this name.*--help presets` lists"):
        reading.from_flags(["--config", name])
