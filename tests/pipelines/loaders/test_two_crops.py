"""Two batches in one, beside the two loaders that they come from."""

from __future__ import annotations

import numpy as np
import torch

from tst_pipelines import CachedLoader, ImageDataset, PadAndCrop, Share, TwoCrops, go_to_epoch


def _loader(tiles: ImageDataset, seed: int) -> CachedLoader:
    return CachedLoader(tiles, PadAndCrop(32, 4), 8, Share(training=True, seed=seed))


def test_each_batch_has_that_of_the_other_loader_behind_it(tiles: ImageDataset) -> None:
    singles = [_loader(tiles, seed) for seed in (3, 4)]
    expected = [[batch for _ in range(2) for batch in loader] for loader in singles]
    both = TwoCrops(_loader(tiles, 3), _loader(tiles, 4))
    found = [batch for _ in range(2) for batch in both]
    assert len(found) == len(expected[0]) == 2 * both.steps_per_epoch
    for batch, one, other in zip(found, *expected, strict=True):
        assert torch.equal(batch.images, torch.cat([one.images, other.images]))
        assert torch.equal(batch.labels, torch.cat([one.labels, other.labels]))
        assert batch.indices.tolist() == [*one.indices, *other.indices]
    assert not torch.equal(expected[0][0].images, expected[1][0].images)


def test_the_second_follows_the_first_wherever_it_was(tiles: ImageDataset) -> None:
    whole = [batch.indices for batch in TwoCrops(_loader(tiles, 3), _loader(tiles, 4))]
    first = _loader(tiles, 3)
    both = TwoCrops(first, _loader(tiles, 4))
    for batch in both:
        assert np.array_equal(batch.indices, whole[0])
        break
    state = both.state_dict()
    list(first)  # used by itself meanwhile
    both.load_state_dict(state)
    assert [batch.indices.tolist() for batch in both] == [indices.tolist() for indices in whole[1:]]
    go_to_epoch(both, 0)
    assert (both.epoch, both.step) == (0, 0)
    assert [batch.indices.tolist() for batch in both] == [indices.tolist() for indices in whole]
