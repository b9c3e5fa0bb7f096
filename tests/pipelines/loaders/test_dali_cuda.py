"""The DALI loader on a CUDA GPU: decoding there, and handing over while the device lags behind the host."""

from __future__ import annotations

import pytest
import torch

from tst_pipelines import DaliLoader, GpuDecoding, ImageDataset, RandomResizedCrop, ResizeCenterCrop, Share, Transform
from tst_pipelines.loaders.decode import has_dali

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    pytest.mark.skipif(not has_dali(), reason="needs NVIDIA DALI"),
]


def loader(tiles: ImageDataset, **options: object) -> DaliLoader:
    return DaliLoader(tiles, RandomResizedCrop(64), 8, Share(training=True, device=torch.device("cuda")), **options)


@pytest.mark.parametrize("prefetch", [1, 3])
def test_batches_are_right_under_poisoned_buffers(tiles: ImageDataset, prefetch: int) -> None:
    """A slow stream reads each batch long after the host went on; then the batch and its memory are overwritten."""
    with loader(tiles, prefetch=prefetch) as quiet:
        expected = []
        for _ in range(4):
            for batch in quiet:
                torch.cuda.synchronize()
                expected.append((batch.images.cpu(), batch.labels.cpu()))
    slow, given = torch.cuda.Stream(), []
    with loader(tiles, prefetch=prefetch) as stressed, torch.cuda.stream(slow):
        for _ in range(4):
            for batch in stressed:
                torch.cuda._sleep(20_000_000)  # some ten milliseconds
                given.append((batch.images.clone(), batch.labels.clone()))
                batch.images.fill_(255)
                del batch
                torch.full((8, 64, 64, 3), 254, dtype=torch.uint8, device="cuda")  # takes the freed memory
    torch.cuda.synchronize()
    assert len(given) == len(expected) == 20
    for (images, labels), (right, right_labels) in zip(given, expected, strict=True):
        assert torch.equal(images.cpu(), right)
        assert torch.equal(labels.cpu(), right_labels)


@pytest.mark.parametrize("transform", [ResizeCenterCrop(224, 256), RandomResizedCrop(224)])
def test_the_gpu_agrees_with_the_cpu(transform: Transform, photos: list, dataset_of) -> None:
    """JPEGs differ by the upsampling of chroma, all by the rounding of the resize; random crops also at the border."""
    dataset = dataset_of(("a.jpg", photos[0], {"quality": 95}), ("b.png", photos[1]), ("c.jpg", photos[1].convert("L")))
    images = []
    for device in ("cpu", "cuda"):
        with DaliLoader(dataset, transform, 3, Share(training=False, device=torch.device(device))) as one:
            images.append(next(iter(one)).images.cpu().float())
    assert (images[0] - images[1]).abs().mean(dim=(1, 2, 3)).max() < 2


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_decoding_options_are_taken(tiles: ImageDataset, share: float) -> None:
    options = GpuDecoding(hw_decoder_load=share, preallocate_width_hint=640, preallocate_height_hint=480)
    with loader(tiles, gpu_decoding=options) as one:
        assert sum(len(batch) for batch in one) == 40


def test_many_epochs_keep_no_device_memory(tiles: ImageDataset) -> None:
    with loader(tiles) as one:
        for _ in range(3):
            list(one)
        torch.cuda.synchronize()
        before = torch.cuda.mem_get_info()[0]
        for _ in range(30):
            list(one)
        torch.cuda.synchronize()
        assert before - torch.cuda.mem_get_info()[0] < 64 * 2**20
