"""Mixed images have the labels of what is in them, and a seed gives them again."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tst_fast.config.schema import TrainingConfig
from tst_fast.errors import UserError
from tst_fast.run.seeding import Stream, reseed
from tst_fast.tasks.mixing import Mixing
from tst_pipelines import Batch

COLOURS = torch.tensor([[250, 0, 0], [0, 240, 0], [0, 0, 230], [10, 20, 30]], dtype=torch.uint8)


def _batch():
    """Four images of one colour each, each a class of its own."""
    return Batch(COLOURS[:, None, None].expand(4, 16, 16, 3).contiguous(), torch.arange(4), np.arange(4))


def _mixed(seed=0, **settings):
    reseed(seed, Stream.STEP)
    return Mixing(TrainingConfig(**settings), classes=4, batch_size=4)(_batch())


def test_nothing_asked_nothing_done():
    batch = _batch()
    assert Mixing(TrainingConfig(), classes=4, batch_size=4)(batch) is batch


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("settings", [{"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_labels_are_the_shares_of_what_is_seen(settings, seed):
    mixed = _mixed(seed, **settings)
    assert mixed.images.shape == (4, 3, 16, 16)
    torch.testing.assert_close(mixed.labels.sum(1), torch.ones(4))
    # Mean colour: by mixup, each pixel is the mean; by cutmix, the label is the share of the pixels.
    expected = mixed.labels @ (COLOURS.float() / 255)
    torch.testing.assert_close(mixed.images.mean((2, 3)), expected, atol=1e-5, rtol=0)
    assert 0 < mixed.labels.max(1).values.min() < 1


def test_label_smoothing_alone_is_that_of_cross_entropy():
    batch, mixed = _batch(), _mixed(label_smoothing=0.1)
    assert torch.equal(mixed.images, batch.images)
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    expected = F.cross_entropy(logits, batch.labels, label_smoothing=0.1)
    torch.testing.assert_close(F.cross_entropy(logits, mixed.labels), expected)


def test_a_seed_gives_the_same_mixture_and_another_another():
    once, again, other = (_mixed(seed, mixup=1.0, cutmix=1.0) for seed in (5, 5, 6))
    assert torch.equal(once.images, again.images)
    assert torch.equal(once.labels, again.labels)
    assert not torch.equal(once.labels, other.labels)


def test_the_loaders_images_stay_as_they_were():
    batch = _batch()
    Mixing(TrainingConfig(mixup=1.0), classes=4, batch_size=4)(batch)
    assert torch.equal(batch.images, _batch().images)


def test_pairs_need_an_even_batch():
    with pytest.raises(UserError, match=r"for mixup and cutmix, got 5: make --data.batch_size a multiple"):
        Mixing(TrainingConfig(cutmix=1.0), classes=4, batch_size=5)
