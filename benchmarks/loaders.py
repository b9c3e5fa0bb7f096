"""Images/s and CPU time of the loaders, beside torchvision's DataLoader on the same files.

Photographs: JPEGs to random resized crops of 224 x 224, flipped, uint8, in batches; by number of threads (DALI) or of
worker processes (DataLoader). The crops follow the same distribution in every arm. Beside them, how fast DALI decodes
whole JPEGs and does nothing else, and how fast a bare loop is in which it reads and decodes regions, and it or torch
resizes them. Small images: 32 x 32, padded by 4, cropped and flipped. Each arm is built anew in each round, and timed
when its queues have settled.

    python -m benchmarks.loaders --images FOLDER --cifar FOLDER --threads 1 2
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks import loader_peers as peers
from benchmarks.measure import Steady, machine, markdown, save, show, steady
from tst_pipelines import (
    ArrayDataset,
    CachedLoader,
    DaliLoader,
    GpuDecoding,
    ImageDataset,
    Loader,
    PadAndCrop,
    RandomResizedCrop,
    ResizeCenterCrop,
    Share,
    cifar,
)

SIZE = 224
HARDWARE_LOADS = (0.0, 0.35, 0.65, 0.8, 0.95)
MADE = 200  # photographs made where no folder is given
TILES = 10_000  # small images
SMALL_BATCH = 128
Arm = Callable[[], Iterator[object]]
"""Gives batches without end."""


def photographs(folder: Path | None, scratch: Path) -> ImageDataset:
    """The JPEGs of a folder, or as many of ImageNet's size cut from scikit-learn's two photographs."""
    if folder is None:
        folder = scratch
        from sklearn.datasets import load_sample_images

        sources = [Image.fromarray(image) for image in load_sample_images().images]  # 640 x 427
        generator = np.random.default_rng(0)
        for number in range(MADE):
            width, height = (500, 375) if number % 3 else (375, 420)
            left, top = generator.integers(0, (641 - width, 428 - height))
            part = sources[number % 2].crop((left, top, left + width, top + height))
            part.save(scratch / f"{number:03d}.jpg", quality=95)
    files = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        sys.exit(f"error: {folder} holds no JPEG")
    return ImageDataset(folder, files, np.zeros(len(files), np.int64), ("any",))


def small_images(folder: Path | None) -> ArrayDataset:
    """CIFAR-10 in any form that `tst_pipelines.cifar` reads, or tiles of the two photographs; 10,000, decoded."""
    if folder is None:
        from sklearn.datasets import load_sample_images

        generator = np.random.default_rng(0)
        places = generator.integers(0, (2, 427 - 32, 640 - 32), (TILES, 3))
        sources = load_sample_images().images
        pixels = np.stack([sources[photo][top : top + 32, left : left + 32] for photo, top, left in places])
        return ArrayDataset(pixels, np.zeros(TILES, np.int64), ("any",), "tiles")
    test = cifar("cifar10", folder)[1]
    with CachedLoader(test, ResizeCenterCrop(32), TILES, Share(training=False)) as loader:
        pixels = torch.cat([batch.images for batch in loader]).numpy()
    return ArrayDataset(pixels, test.labels, test.classes, "cifar-10/test")


def endless(build: Callable[[], Loader]) -> Iterator[object]:
    """A loader's batches, epoch after epoch."""
    with build() as loader:
        while True:
            yield from loader


def photograph_arms(dataset: ImageDataset, threads: int, batch: int) -> dict[str, Arm]:
    """What is compared on photographs, by name; `threads` is also the number of worker processes."""
    paths = [dataset.path(index) for index in range(len(dataset))]
    return {
        "DALI, decode alone": partial(peers.dali_decode, paths, threads, batch),
        "DALI, bare loop": partial(peers.dali_bare, paths, threads, batch, SIZE),
        "DALI, resized by torch, bare loop": partial(peers.dali_and_torch_bare, paths, threads, batch, SIZE),
        "torchvision decode_jpeg alone": partial(peers.torchvision_decode, paths, threads, batch),
        "DataLoader, PIL": partial(peers.data_loader, paths, threads, batch, SIZE, "PIL"),
        "DataLoader, decode_jpeg": partial(peers.data_loader, paths, threads, batch, SIZE, "decode_jpeg"),
        "DaliLoader": partial(
            endless,
            lambda: DaliLoader(dataset, RandomResizedCrop(SIZE), batch, Share(training=True), threads=threads),
        ),
    }


def small_arms(dataset: ArrayDataset, workers: int, batch: int) -> dict[str, Arm]:
    """What is compared on small images, by name."""

    def cached() -> Loader:
        return CachedLoader(dataset, PadAndCrop(32), batch, Share(training=True))

    def as_floats() -> Iterator[torch.Tensor]:
        for images in endless(cached):
            yield images.images.permute(0, 3, 1, 2).contiguous().float().div_(255)

    return {
        "DataLoader, crop + flip + ToTensor": partial(peers.small_data_loader, dataset, workers, batch),
        "CachedLoader": partial(endless, cached),
        "CachedLoader, then float [B, 3, H, W]": as_floats,
    }


def gpu_arms(dataset: ImageDataset, threads: int, batch: int) -> dict[str, Arm]:
    """The DALI loader decoding on the GPU, by the share of the hardware decoder."""

    def build(load: float) -> Loader:
        share = Share(training=True, device=torch.device("cuda"))
        how = {"threads": threads, "gpu_decoding": GpuDecoding(load)}
        return DaliLoader(dataset, RandomResizedCrop(SIZE), batch, share, **how)

    return {
        f"DaliLoader, GPU, hw_decoder_load {load}": partial(endless, partial(build, load)) for load in HARDWARE_LOADS
    }


def rows_of(measured: dict[str, list[Steady]], baseline: str, threads: int, decode: str | None = None) -> list[dict]:
    """A row for each arm: medians, extremes, and ratios to `baseline` and to the rate of `decode`."""
    rate = {name: statistics.median(one.rate for one in rounds) for name, rounds in measured.items()}
    return [
        {
            "name": name,
            "threads": threads,
            "images_per_second": rate[name],
            "lowest": min(one.rate for one in rounds),
            "highest": max(one.rate for one in rounds),
            "cpu_ms_per_image": 1000 * statistics.median(one.cpu_seconds_per_image for one in rounds),
            "ratio_to_data_loader": rate[name] / rate[baseline],
            **({"share_of_decode_rate": rate[name] / rate[decode]} if decode else {}),
        }
        for name, rounds in measured.items()
    ]


@dataclass
class Comparison:
    """One table.

    Attributes:
        title: what is compared.
        batch: images of a batch.
        rows: see `rows_of`.
    """

    title: str
    batch: int
    rows: list[dict[str, object]] = field(default_factory=list)


def measure(options: argparse.Namespace, dataset: ImageDataset, small: ArrayDataset) -> list[Comparison]:
    """Every part of the comparison."""
    photographs_table = Comparison(f"JPEGs to random crops of {SIZE} px", options.batch)
    batches = max(options.images_timed // options.batch, 1)
    for threads in options.threads:
        arms = photograph_arms(dataset, threads, options.batch)
        measured = steady(arms, options.batch, batches, 8, options.rounds)
        photographs_table.rows += rows_of(measured, "DataLoader, decode_jpeg", threads, "DALI, decode alone")
    workers = max(options.threads)
    measured = steady(small_arms(small, workers, SMALL_BATCH), SMALL_BATCH, 156, 8, options.rounds)  # 20,000 images
    rows = rows_of(measured, "DataLoader, crop + flip + ToTensor", workers)
    tables = [photographs_table, Comparison("32 px, padded, cropped and flipped", SMALL_BATCH, rows)]
    if torch.cuda.is_available():
        tables.append(Comparison(f"The same JPEGs decoded by the GPU to random crops of {SIZE} px", options.gpu_batch))
        for threads in options.gpu_threads:
            arms = gpu_arms(dataset, threads, options.gpu_batch)
            measured = steady(arms, options.gpu_batch, 40, 8, options.rounds)
            tables[-1].rows += rows_of(measured, next(iter(arms)), threads)
    return tables


def main() -> None:
    """Measure, print the tables, write JSON and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of JPEGs; else they are made from two photographs")
    parser.add_argument("--cifar", type=Path, help="a folder that holds CIFAR-10; else tiles of the two photographs")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads or workers, one after another")
    parser.add_argument("--gpu_threads", type=int, nargs="+", default=[4, 8, 16], help="the same for GPU decoding")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--gpu_batch", type=int, default=128)
    parser.add_argument("--images_timed", type=int, default=1024, help="photographs in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    options = parser.parse_args()
    load = round(os.getloadavg()[0], 1)  # other programs cost images/s, and CPU time much less
    torch.set_num_threads(1)  # as the DataLoader's workers do
    with tempfile.TemporaryDirectory() as scratch:
        dataset, small = photographs(options.images, Path(scratch)), small_images(options.cifar)
        size = np.mean([Path(dataset.path(index)).stat().st_size for index in range(len(dataset))]) / 1000
        tables = measure(options, dataset, small)
    made = "" if options.images else ", made from scikit-learn's two photographs"
    about = machine("torchvision", "pillow", "nvidia-dali-cuda130") | {
        "threads": os.cpu_count(),
        "photographs": f"{len(dataset)} JPEGs, {size:.0f} kB on average{made}",
        "small_images": f"{len(small):,} images of {small.name}",
        "rounds": options.rounds,
        "load_average_before": load,
    }
    for table in tables:
        show(f"{table.title}, batch {table.batch}", table.rows)
    if options.json:
        rows = [{"table": table.title, "batch": table.batch, **row} for table in tables for row in table.rows]
        save(rows, about, options.json)
    if options.markdown:
        parts = [f"{about['photographs']}; {about['small_images']}; the machine's load average before was {load}."]
        parts += [f"### {table.title}\n\n{markdown(table.rows, about | {'batch': table.batch})}" for table in tables]
        options.markdown.write_text("\n\n".join(part.strip() for part in parts) + "\n")


if __name__ == "__main__":
    main()
