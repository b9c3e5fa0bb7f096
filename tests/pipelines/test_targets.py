"""Targets of the three kinds: parts, rows, devices; and the batch that holds them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tst_pipelines import Batch, Targets

KINDS = {
    "classes": Targets(torch.arange(5)),
    "probabilities": Targets(torch.rand(5, 3)),
    "label maps": Targets(torch.randint(0, 256, (5, 4, 6), dtype=torch.uint8)),
    "boxes": Targets(
        torch.tensor([[2, -1], [0, 1], [-1, -1], [3, 3], [1, -1]]),
        torch.rand(5, 2, 4),
        torch.randint(1, 9, (5, 2), dtype=torch.int32),
    ),
}


def same(first: Targets, second: Targets) -> bool:
    return all(
        (a is None and b is None) or (a.dtype == b.dtype and torch.equal(a, b))
        for a, b in zip(vars(first).values(), vars(second).values(), strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_parts_and_rows_belong_together(kind: str) -> None:
    whole = KINDS[kind]
    assert len(whole) == 5
    parts = [whole[:2], whole[2:]]
    assert [len(part) for part in parts] == [2, 3]
    assert same(Targets.cat(parts), whole)
    order = torch.tensor([4, 0, 3])
    one_by_one = [whole[i : i + 1] for i in order.tolist()]
    assert same(whole[order], Targets.cat(one_by_one))
    mask = torch.tensor([True, False, False, True, True])
    assert same(whole[mask], whole[torch.tensor([0, 3, 4])])
    assert not same(whole[order], parts[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_in_parts(kind: str) -> None:
    targets = KINDS[kind]
    batch = Batch.of(torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1), targets, np.arange(5))
    assert same(batch.targets, targets)
    parts = batch.split(3)
    assert [len(part) for part in parts] == [len(part.targets) for part in parts] == [2, 2, 1]
    assert same(Targets.cat([part.targets for part in parts]), targets)
    assert torch.equal(torch.cat([part.images for part in parts]), batch.images)
    assert np.concatenate([part.indices for part in parts]).tolist() == list(range(5))
    assert [len(part) for part in batch.split(99)] == [1] * 5


def test_targets_follow_their_images_to_a_device() -> None:
    images = torch.empty(5, 4, 6, 3, dtype=torch.uint8, device="meta")
    batch = Batch.of(images, KINDS["boxes"], np.arange(5))
    assert {tensor.device.type for tensor in (batch.labels, batch.boxes, batch.sizes)} == {"meta"}
    moved = KINDS["label maps"].to("meta")
    assert moved.labels.is_meta
    assert moved.boxes is None
