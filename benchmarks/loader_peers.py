"""What the loaders are compared with: torchvision's DataLoader, and decoders alone. Each gives batches without end."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision import transforms as v1
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from tst_pipelines import ArrayDataset

ENDLESS = 10**9  # images


class Shuffled(Sampler[int]):
    """One permutation after another."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return ENDLESS

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from torch.randperm(self.size).tolist()


class Photographs(Dataset):
    """Random resized crops of JPEGs, uint8 [3, size, size], by one of torchvision's two ways to decode."""

    def __init__(self, paths: Sequence[str], size: int, decoder: str) -> None:
        self.paths, self.decoder = paths, decoder
        crop = [v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()]
        self.transform = v2.Compose([*crop, v2.PILToTensor()] if decoder == "PIL" else crop)

    def __getitem__(self, index: int) -> torch.Tensor:
        if self.decoder == "PIL":
            with Image.open(self.paths[index]) as image:
                return self.transform(image.convert("RGB"))
        return self.transform(decode_jpeg(read_file(self.paths[index]), ImageReadMode.RGB))


class SmallImages(Dataset):
    """What torchvision's CIFAR10 does with the usual transforms, to uint8 or to float32."""

    def __init__(self, dataset: ArrayDataset, dtype: torch.dtype) -> None:
        self.images, self.labels = dataset.images, dataset.labels.tolist()
        to_tensor = v1.PILToTensor() if dtype == torch.uint8 else v1.ToTensor()
        self.transform = v1.Compose([v1.RandomCrop(32, padding=4), v1.RandomHorizontalFlip(), to_tensor])

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def data_loader(paths: Sequence[str], workers: int, batch: int, size: int, decoder: str) -> Iterator[torch.Tensor]:
    """torchvision's DataLoader on files; `decoder` is PIL or decode_jpeg."""
    yield from DataLoader(Photographs(paths, size, decoder), batch, sampler=Shuffled(len(paths)), num_workers=workers)


def small_data_loader(
    dataset: ArrayDataset, workers: int, batch: int, dtype: torch.dtype
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """torchvision's DataLoader on small images in memory."""
    yield from DataLoader(SmallImages(dataset, dtype), batch, sampler=Shuffled(len(dataset)), num_workers=workers)


def torchvision_decode(paths: Sequence[str], threads: int, batch: int) -> Iterator[list[torch.Tensor]]:
    """Whole JPEGs decoded from memory by torchvision, in threads."""
    encoded = cycle([read_file(path) for path in paths])
    with ThreadPoolExecutor(threads) as pool:
        while True:
            yield list(pool.map(lambda one: decode_jpeg(one, ImageReadMode.RGB), list(islice(encoded, batch))))


def dali_decode(paths: Sequence[str], threads: int, batch: int) -> Iterator[object]:
    """Whole JPEGs decoded from memory by DALI."""
    from nvidia.dali import fn, pipeline_def

    encoded = cycle([np.fromfile(path, np.uint8) for path in paths])

    @pipeline_def(batch_size=batch, num_threads=threads, device_id=None, prefetch_queue_depth=2)
    def graph():
        source = fn.external_source(source=lambda: list(islice(encoded, batch)), batch=True)
        return fn.decoders.image(source, device="cpu")

    yield from _run(graph())


def dali_bare(paths: Sequence[str], threads: int, batch: int, size: int) -> Iterator[object]:
    """JPEGs read, cropped as they are decoded, and resized by DALI's own reader and randomness; the loop alone."""
    yield from _run(_random_regions(paths, threads, batch, size))


def dali_and_torch_bare(paths: Sequence[str], threads: int, batch: int, size: int) -> Iterator[torch.Tensor]:
    """The same, but resized by torch, in as many threads."""

    def resized(image: torch.Tensor) -> torch.Tensor:
        return interpolate(image[None].permute(0, 3, 1, 2), (size, size), mode="bilinear", antialias=True)

    with ThreadPoolExecutor(threads) as pool:
        for (regions,) in _run(_random_regions(paths, threads, batch, size=None)):
            yield torch.cat(list(pool.map(resized, map(torch.from_dlpack, regions))))


def _random_regions(paths: Sequence[str], threads: int, batch: int, size: int | None) -> object:
    """DALI's pipeline of random regions of JPEGs, resized unless `size` is None."""
    from nvidia.dali import fn, pipeline_def

    @pipeline_def(batch_size=batch, num_threads=threads, device_id=None, prefetch_queue_depth=2, seed=0)
    def graph():
        encoded, _ = fn.readers.file(files=list(paths), random_shuffle=True, name="reader")
        images = fn.decoders.image_random_crop(
            encoded, device="cpu", random_area=[0.08, 1.0], random_aspect_ratio=[3 / 4, 4 / 3]
        )
        return images if size is None else fn.resize(images, size=[size, size])

    return graph()


def _run(pipeline) -> Iterator[object]:
    pipeline.build()
    while True:
        yield pipeline.run()
