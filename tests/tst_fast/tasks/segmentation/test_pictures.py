"""Labels in the colours of Pascal VOC, images as they were, and a table of both that can be opened."""

import numpy as np
import torch
from PIL import Image

from tst_fast.tasks.segmentation.pictures import COLOURS, coloured, draw_table, overlaid


def test_colours_are_pascal_vocs():
    published = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    published[255] = (224, 224, 192)
    for label, colour in published.items():
        assert tuple(COLOURS[label]) == colour
    assert len({tuple(colour) for colour in COLOURS}) == 256
    assert coloured(np.array([[1, 255]], dtype=np.uint8)).tolist() == [[[128, 0, 0], [224, 224, 192]]]


def test_labels_lie_over_images_but_where_there_are_none():
    images = torch.full((1, 1, 2, 3), 100, dtype=torch.uint8)
    (picture,) = overlaid(images, torch.tensor([[[1, 255]]], dtype=torch.uint8), share=0.5)
    assert picture.tolist() == [[[114, 50, 50], [100, 100, 100]]]


def test_a_table_shows_its_pictures_and_colours(tmp_path):
    picture = np.zeros((20, 30, 3), dtype=np.uint8)
    picture[:, :, 0] = 211
    draw_table(
        tmp_path / "answers.png", {"image": [picture] * 2, "label": [picture] * 2}, ["road", "sky", "tree"], [1, 2]
    )
    drawn = np.asarray(Image.open(tmp_path / "answers.png").convert("RGB"))
    red = (drawn == (211, 0, 0)).all(-1)
    assert red.mean() > 0.3
    for colour in COLOURS[[1, 2]]:
        assert (drawn == colour).all(-1).any()
    assert not (drawn == COLOURS[3]).all(-1).any()
