"""What pixels and cells of label maps count, against counting by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tst_fast.losses.pixels import cell_labels, cell_weights, pixel_cross_entropy, pixel_weights

CLASSES, IGNORED = 4, 255


@pytest.fixture
def labels():
    """Four maps of 8x12: some pixels ignored, few labelled, none labelled, one class alone."""
    generator = np.random.default_rng(0)
    maps = generator.integers(0, CLASSES, (4, 8, 12), dtype=np.uint8)
    maps[0][generator.random((8, 12)) < 0.3] = IGNORED
    maps[1, 1:] = IGNORED
    maps[2] = IGNORED
    maps[3] = 2
    return torch.from_numpy(maps)


@pytest.fixture
def logits():
    return torch.randn(4, CLASSES, 8, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _by_hand(labels, by):
    weights = np.zeros(labels.shape)
    for image, of_image in zip(labels.numpy(), weights, strict=True):
        present = [kind for kind in np.unique(image) if kind != IGNORED]
        for kind in present:
            size = (image == kind).sum() * len(present) if by == "classes" else (image != IGNORED).sum()
            of_image[image == kind] = 1 / (len(labels) * size)
    return weights


@pytest.mark.parametrize("by", ["images", "classes"])
def test_pixel_weights_are_those_counted_by_hand(labels, by):
    found = pixel_weights(labels, by)
    np.testing.assert_allclose(found.numpy(), _by_hand(labels, by), rtol=1e-6)
    np.testing.assert_allclose(found.sum((1, 2)).numpy(), [0.25, 0.25, 0, 0.25], rtol=1e-6)


def test_a_batch_is_the_mean_of_its_parts(labels, logits):
    """Though they have 76 and 96 labelled pixels; torch's own mean over pixels is not."""

    def loss(part):
        weights = pixel_weights(labels[part]).double()
        return pixel_cross_entropy(logits[part], labels[part], weights).item()

    parts = [loss(slice(0, 2)), loss(slice(2, 4))]
    assert loss(slice(0, 4)) == pytest.approx(np.mean(parts), rel=1e-7)
    torchs = [F.cross_entropy(logits[p], labels[p].long(), ignore_index=255).item() for p in (slice(0, 2), slice(2, 4))]
    whole = F.cross_entropy(logits, labels.long(), ignore_index=255).item()
    assert abs(whole - np.mean(torchs)) > 1e-3


def test_with_equal_counts_it_is_torchs_cross_entropy(labels, logits):
    labels = torch.where(labels == IGNORED, 1, labels)
    labels[:, 3] = IGNORED
    weights = pixel_weights(labels).double()
    expected = F.cross_entropy(logits, labels.long(), ignore_index=IGNORED).item()
    assert pixel_cross_entropy(logits, labels, weights).item() == pytest.approx(expected, rel=1e-6)


def test_nothing_labelled_is_nothing_to_learn_not_nan(logits):
    labels = torch.full((4, 8, 12), IGNORED, dtype=torch.uint8)
    logits.requires_grad_()
    for by in ("images", "classes"):
        loss = pixel_cross_entropy(logits, labels, pixel_weights(labels, by).double())
        loss.backward()
        assert loss.item() == 0
    assert logits.grad.eq(0).all()
    assert cell_weights(pixel_weights(labels), (2, 3)).eq(0).all()
    assert cell_labels(labels, CLASSES, (2, 3)).eq(0).all()


def test_pixels_that_leave_do_not_lower_the_loss(logits):
    """An image of equally bad pixels: the loss is the same whether all of them or a few are left."""
    bad = logits[:1, :, :1, :1].expand(2, -1, 8, 12)
    labels = torch.ones(2, 8, 12, dtype=torch.uint8)
    few = labels.clone()
    few[:, 2:] = IGNORED
    losses = [pixel_cross_entropy(bad, each, pixel_weights(each).double()).item() for each in (labels, few)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


@pytest.mark.parametrize("size", [(2, 3), (8, 12), (3, 5)])
@pytest.mark.parametrize("by", ["images", "classes"])
def test_cells_count_what_their_pixels_do(labels, size, by):
    pixels = pixel_weights(labels, by)
    cells = cell_weights(pixels, size)
    torch.testing.assert_close(cells.sum((1, 2)), pixels.sum((1, 2)))
    if size != (3, 5):  # there, the windows overlap
        blocks = pixels.view(4, size[0], 8 // size[0], size[1], 12 // size[1]).sum((2, 4))
        torch.testing.assert_close(cells, blocks)


def test_cells_hold_the_shares_of_their_classes(labels):
    found = cell_labels(labels, CLASSES, (2, 3)).numpy()
    for image, row, column in np.ndindex(4, 2, 3):
        block = labels[image, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].numpy()
        counted = max((block != IGNORED).sum(), 1)
        expected = [(block == kind).sum() / counted for kind in range(CLASSES)]
        np.testing.assert_allclose(found[image, :, row, column], expected, rtol=1e-6)
