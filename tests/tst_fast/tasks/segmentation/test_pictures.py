"""Labels in the colours of Pascal VOC, images as they were, and a table of both that can be opened."""

import numpy as np
import torch

from tst_fast.tasks.segmentation.pictures import COLOURS, coloured, overlaid


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
