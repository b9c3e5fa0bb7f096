"""Pictures side by side in one file."""

import numpy as np
from PIL import Image

from tst_fast.tasks.image_grid import draw_grid


def test_a_table_shows_its_pictures_and_colours(tmp_path):
    picture = np.zeros((20, 30, 3), dtype=np.uint8)
    picture[:, :, 0] = 211
    columns = {"image": [picture] * 2, "label": [picture] * 2}
    draw_grid(tmp_path / "answers.png", columns, {"sky": (0, 0, 1), "tree": (0, 1, 0)})
    drawn = np.asarray(Image.open(tmp_path / "answers.png").convert("RGB"))
    assert (drawn == (211, 0, 0)).all(-1).mean() > 0.3
    for colour in ((0, 0, 255), (0, 255, 0)):
        assert (drawn == colour).all(-1).any()
    draw_grid(tmp_path / "plain.png", columns)
    plain = np.asarray(Image.open(tmp_path / "plain.png").convert("RGB"))
    assert not (plain == (0, 255, 0)).all(-1).any()
