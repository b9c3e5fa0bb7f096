"""Pictures of the page are those of the run's folder, each in its place."""

import base64
import io
import json

import numpy as np
from PIL import Image

from tests.tst_fast.report.html.folders import COLOURS, IMAGES, SIDE, MadeUp
from tests.tst_fast.report.html.parsing import page_of
from tst_fast.report.html.data import read_folders
from tst_fast.report.html.pictures import KINDS, answers, gallery
from tst_kernels.operations import OPERATIONS


def _pixels(address):
    content = base64.b64decode(address.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def _gallery(folder, most=10**6):
    (run,), _ = read_folders([folder])
    return gallery(run, most)


def test_every_picture_is_in_its_place(tmp_path):
    found = _gallery(MadeUp().write(tmp_path / "run"))
    assert [one.title for one in found.searches] == [
        f"search {number}, before the student's epoch {number}" for number in (1, 2)
    ]
    for number, search in enumerate(found.searches):
        assert len(search.images) == IMAGES
        for image, pictures in enumerate(search.images):
            for (kind, title), picture in zip(KINDS.items(), pictures, strict=True):
                expected = np.broadcast_to([COLOURS[kind], 60 * image, 30 * number], (SIDE, SIDE, 3))
                np.testing.assert_array_equal(_pixels(picture.address), expected)
                truth = ("cat", "dog", "eel")[image]
                student = f"student {11 * (number + 1)} %" + (" (eel)" if number and truth != "eel" else "")
                first = f"{title}: {truth}" if kind == "plain" else title
                assert picture.caption == [first, "teacher 91 %", student]
    assert [title for title, _ in found.operations] == ["Rotate: ±7.5 degrees", "Invert"]
    for row, (_, pictures) in enumerate(found.operations):
        np.testing.assert_array_equal(_pixels(pictures[1].address)[0, 0], [250, 60, 30 + 90 * row])


def test_the_last_search_is_shown_first_and_all_are_there(tmp_path):
    page = page_of(MadeUp().write(tmp_path / "run"))
    shown = [("hidden" in attributes) for _, attributes in page.tags if "data-search" in attributes]
    assert shown == [True, False]
    assert len(page.pictures) == 2 * IMAGES * len(KINDS) + 2 * IMAGES
    sliders = [attributes for tag, attributes in page.tags if tag == "input"]
    assert [(one["type"], one["min"], one["max"], one["value"]) for one in sliders] == [("range", "0", "1", "1")]


def test_many_searches_are_thinned_with_the_first_and_the_last(tmp_path):
    folder = MadeUp(epochs=30, searches=30, side=128, noise=True).write(tmp_path / "run")
    found = _gallery(folder, 150_000)
    titles = [one.title for one in found.searches]
    assert titles[0].startswith("search 1,") and titles[-1].startswith("search 30,")
    assert found.size() <= 150_000


def test_missing_damaged_and_foreign_files_are_left_out(tmp_path):
    folder = MadeUp().write(tmp_path / "run")
    (folder / "pictures/search00-plain.png").unlink()
    assert [one.title[:8] for one in _gallery(folder).searches] == ["search 2"]
    damaged = folder / "pictures/search01-trained.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    assert _gallery(folder).searches == []
    (folder / "answers.png").write_bytes(b"half")
    (run,), _ = read_folders([folder])
    assert answers(run, 10**6) is None
    lines = (folder / "metrics.jsonl").read_text()
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    (folder / "metrics.jsonl").write_text(lines.replace("pictures/search01-operations.png", "../secret.png"))
    assert _gallery(folder) is None


def test_answers_fit(tmp_path):
    folder = MadeUp().write(tmp_path / "run")
    Image.effect_noise((1500, 2400), 100).save(folder / "answers.png")
    (run,), _ = read_folders([folder])
    found = answers(run, 150_000)
    assert found is None or len(found.address) <= 150_000
    Image.new("RGB", (1500, 2400), (9, 99, 199)).save(folder / "answers.png")
    pixels = _pixels(answers(run, 150_000).address)
    assert pixels.shape == (1600, 1000, 3)
    assert np.abs(pixels.astype(int) - [9, 99, 199]).max() < 8


def test_pictures_of_a_real_run(whole_run):
    found = _gallery(whole_run.folder)
    learned = json.loads((whole_run.folder / "policy.json").read_text())["operations"]
    assert [title.split(":")[0] for title, _ in found.operations] == [row["operation"] for row in learned]
    strip = np.asarray(Image.open(whole_run.folder / "pictures/search00-trained.png").convert("RGB"))
    (search,) = found.searches
    height, width = _pixels(search.images[0][2].address).shape[:2]
    for number, (_, _, trained) in enumerate(search.images):
        left = number * (width + 2)
        np.testing.assert_array_equal(_pixels(trained.address), strip[:height, left : left + width])
    assert set(OPERATIONS) >= {title.split(":")[0] for title, _ in found.operations}
