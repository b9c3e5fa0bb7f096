"""README, docs/ and the Markdown beside the results say what the JSON files say."""

import json
import re

import pytest

from benchmarks import blocks, report
from benchmarks.blocks import BLOCKS
from benchmarks.markdown import markdown
from benchmarks.report import fill, fill_page, pages
from benchmarks.results import FOLDER

FILES = sorted(FOLDER.glob("*.json"))
AGAIN = "run: python -m benchmarks.report"


def test_pages_hold_every_block_as_it_is_generated():
    texts = {page: page.read_text(encoding="utf-8") for page in pages()}
    assert {name for text in texts.values() for _, name, _ in report.BLOCK.findall(text)} == set(BLOCKS)
    for page, text in texts.items():
        assert fill_page(page) == text, AGAIN


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_markdown_beside_a_file_is_generated_from_it(file):
    assert file.with_suffix(".md").read_text(encoding="utf-8") == markdown(json.loads(file.read_text())), AGAIN


def test_no_markdown_is_left_of_a_file_that_is_gone():
    assert [file for file in FOLDER.glob("*.md") if not file.with_suffix(".json").exists()] == []


def numbers_after(name, text):
    """The numbers of the table row that begins with `name`."""
    row = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [float(word.replace(",", "")) for word in re.findall(r"\d[\d,.]*", row.removeprefix(f"| {name} |"))]


def test_ratios_of_the_kernels_follow_from_the_images_per_second():
    """Computed here anew, from the rates alone."""
    rows = json.loads((FOLDER / "kernels-cpu.json").read_text())["rows"]
    rates = {(row["name"], row["pass"]): row.get("images_per_second") for row in rows if row["size"] == 224}
    for name in ("ours", "ours, compiled", "torchvision", "kornia"):
        expected = [rates[name, passes] / rates["kornia", passes] for passes in ("forward", "both")]
        assert numbers_after(name, BLOCKS["kernels"]())[:2] == pytest.approx(expected, abs=0.006)
    compiled = rates["kornia, compiled", "both"] / rates["kornia", "both"]  # the one that is measured
    assert numbers_after("kornia, compiled", BLOCKS["kernels"]()) == pytest.approx([compiled], abs=0.006)


def test_loaders_are_compared_with_what_gives_the_same_kind_of_batch():
    rows = json.loads((FOLDER / "loaders-cpu.json").read_text())["rows"]
    for dtype in ("uint8", "float32"):
        table = {row["name"]: row for row in rows if row["table"].endswith(dtype)}
        assert table.keys() == {"DataLoader", "CachedLoader"}
        if all("images_per_second" in row for row in table.values()):
            ratio = table["CachedLoader"]["images_per_second"] / table["DataLoader"]["images_per_second"]
            assert table["CachedLoader"]["ratio_to_baseline"] == pytest.approx(ratio)


def test_losses_are_shown():
    """A ratio under 1 in the results is on a page, too."""
    rows = json.loads((FOLDER / "kernels-cpu.json").read_text())["rows"]
    shown = "".join(page.read_text(encoding="utf-8") for page in pages())
    lost = [row for row in rows if row["name"].startswith("ours") and row["pass"] == "both"]
    for row in lost:
        assert f"{row['ratio_to_kornia']:.2f}" in shown


def test_a_gpus_result_is_shown_with_the_goals_it_missed(tmp_path, monkeypatch):
    main = {"part": "kernels", "name": "mix", "size": 224}
    rows = [main | {"pass": name, "images_per_second": rate} for name, rate in
            (("forward", 1234567.0), ("backward", 765432.0), ("both", 543210.0))]  # fmt: skip
    goal = {"part": "goals", "goal": "at least 0.5"}
    rows += [goal | {"name": "good", "measured": 0.61, "is_reached": True},
             goal | {"name": "bad", "measured": None, "is_reached": False}]  # fmt: skip
    about = {"gpu": "NVIDIA H100 80GB HBM3", "versions": {"torch": "2.11.0", "triton": "3.6.0"}}
    (tmp_path / "gpu.json").write_text(json.dumps(about | {"rows": rows}))
    monkeypatch.setattr(blocks, "FOLDER", tmp_path)
    block = BLOCKS["gpu"]()
    assert "| good | at least 0.5 | 0.61 | yes |" in block and "| bad | at least 0.5 | - | no |" in block
    assert "1,234,567; 765,432; 543,210" in " ".join(block.split())


def test_a_block_of_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"'speed'.*kernels"):
        fill("<!-- benchmarks: speed -->\n<!-- end -->")


def test_text_outside_the_blocks_stays():
    text = "before\n<!-- benchmarks: gpu -->\nold\n<!-- end -->\nafter\n"
    assert fill(text) == f"before\n<!-- benchmarks: gpu -->\n{BLOCKS['gpu']()}\n<!-- end -->\nafter\n"
