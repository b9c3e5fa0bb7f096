"""Images/s and CPU time of the loaders, beside torchvision's DataLoader on the same files.

Photographs: JPEGs to random resized crops of 224 x 224, flipped, uint8, in batches; by number of threads (DALI) or of
worker processes (DataLoader). The crops follow the same distribution in every arm. Beside them, how fast DALI decodes
whole JPEGs and does nothing else, and how fast a bare loop is in which it reads and decodes regions, and it or torch
resizes them. Small images: 32 x 32, padded by 4, cropped and flipped, to uint8 and to float, each beside its like. Each
arm is built anew in each round, and timed when its queues have settled.

    python -m benchmarks.loaders --images FOLDER --cifar FOLDER --json benchmarks/results/loaders-cpu.json
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks import loader_peers as peers
from benchmarks.results import Results, Row, machine, show
from benchmarks.timing import Steady, steady
from tst_pipelines import (
    ArrayDataset,
    CachedLoader,
    DaliLoader,
    DetectionDataset,
    GpuDecoding,
    ImageDataset,
    Loader,
    PadAndCrop,
    PairDataset,
    RandomResizedCrop,
    ResizeCenterCrop,
    Share,
    cifar,
)
from tst_pipelines.loaders.decode import has_dali
from tst_pipelines.transforms import PlacingTransform

SIZE = 224
MADE = 200  # photographs made where no folder is given
TILES = 10_000  # small images
BATCH = 128
SETTLE = 8  # batches, more than any queue holds
DALI = "nvidia-dali-cuda130", "nvidia-dali-cuda120"
HAS_DALI = has_dali()
Arm = Callable[[], Iterator[object]]
"""Gives batches without end."""


@dataclass(frozen=True)
class Comparison:
    """One table: arms that do the same work.

    Attributes:
        title: what is compared.
        arms: by name.
        baseline: the arm that ratios are to; a table whose baseline is missing has none.
        decode: the arm whose rate is that of decoding alone, if there is one.
        threads: of each arm, or its worker processes.
    """

    title: str
    arms: dict[str, Arm]
    baseline: str
    threads: int
    decode: str | None = None


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


def photograph_arms(dataset: ImageDataset, threads: int) -> dict[str, Arm]:
    """What is compared on photographs, by name; `threads` is also the number of worker processes."""
    paths = [dataset.path(index) for index in range(len(dataset))]
    return {
        "DALI, decode alone": partial(peers.dali_decode, paths, threads, BATCH),
        "DALI, bare loop": partial(peers.dali_bare, paths, threads, BATCH, SIZE),
        "DALI, resized by torch, bare loop": partial(peers.dali_and_torch_bare, paths, threads, BATCH, SIZE),
        "torchvision decode_jpeg alone": partial(peers.torchvision_decode, paths, threads, BATCH),
        "DataLoader, PIL": partial(peers.data_loader, paths, threads, BATCH, SIZE, "PIL"),
        "DataLoader, decode_jpeg": partial(peers.data_loader, paths, threads, BATCH, SIZE, "decode_jpeg"),
        "DaliLoader": partial(
            endless,
            lambda: DaliLoader(dataset, RandomResizedCrop(SIZE), BATCH, Share(training=True), threads=threads),
        ),
    }


def small_arms(dataset: ArrayDataset, workers: int, dtype: torch.dtype) -> dict[str, Arm]:
    """What is compared on small images, by name: batches of uint8, or of float32 [B, 3, H, W] in 0..1."""

    def cached() -> Loader:
        return CachedLoader(dataset, PadAndCrop(32), BATCH, Share(training=True))

    def as_floats() -> Iterator[torch.Tensor]:
        for images in endless(cached):
            yield images.images.permute(0, 3, 1, 2).contiguous().float().div_(255)

    data_loader = partial(peers.small_data_loader, dataset, workers, BATCH, dtype)
    return {"DataLoader": data_loader, "CachedLoader": partial(endless, cached) if dtype == torch.uint8 else as_floats}


@dataclass(frozen=True)
class Decoding:
    """How the DALI loader decodes on a GPU.

    Attributes:
        hw_decoder_load: share of the hardware decoder.
        threads: of DALI.
        prefetch: batches prepared ahead.
    """

    hw_decoder_load: float = 0.65
    threads: int = 8
    prefetch: int = 2

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in vars(self).items())


SWEPT = {"hw_decoder_load": (0.0, 0.35, 0.8, 0.95), "threads": (2, 4, 16), "prefetch": (1, 3, 4)}
DECODINGS = (Decoding(), *(Decoding(**{name: value}) for name, values in SWEPT.items() for value in values))
"""The default, and what differs from it in one value."""


def gpu_arm(dataset: ImageDataset, decoding: Decoding) -> Arm:
    """The DALI loader, decoding on the GPU."""

    def build() -> Loader:
        share, gpu = Share(training=True, device=torch.device("cuda")), GpuDecoding(decoding.hw_decoder_load)
        how = {"threads": decoding.threads, "prefetch": decoding.prefetch}
        return DaliLoader(dataset, RandomResizedCrop(SIZE), BATCH, share, **how, gpu_decoding=gpu)

    return partial(endless, build)


def comparisons(dataset: ImageDataset, small: ArrayDataset, threads: int) -> list[Comparison]:
    """Every table, the shortest first."""
    tables = [
        Comparison(
            f"32 px, padded, cropped and flipped, {name}", small_arms(small, threads, dtype), "DataLoader", threads
        )
        for name, dtype in (("uint8", torch.uint8), ("float32", torch.float32))
    ]
    jpegs = f"JPEGs to random crops of {SIZE} px"
    arms = photograph_arms(dataset, threads)
    tables.append(Comparison(jpegs, arms, "DataLoader, decode_jpeg", threads, "DALI, decode alone"))
    if torch.cuda.is_available():
        arms = {f"DaliLoader, {decoding}": gpu_arm(dataset, decoding) for decoding in DECODINGS}
        tables.append(Comparison(f"{jpegs}, decoded by the GPU", arms, next(iter(arms)), DECODINGS[0].threads))
    return tables


def measure(table: Comparison, results: Results, seconds: float, rounds: int) -> None:
    """Add and print a row for each arm of a table; those that need DALI say so where it is missing."""
    here = {"table": table.title, "threads": table.threads, "batch": BATCH}
    arms = {name: arm for name, arm in table.arms.items() if HAS_DALI or not name.upper().startswith("DALI")}
    for name in table.arms:
        if name not in arms:
            results.add(here | {"name": name, "note": "DALI is not installed"})
    rows = rows_of(steady(arms, BATCH, seconds, SETTLE, rounds), table.baseline, table.decode)
    for row in rows:
        results.add(here | row)
    show(f"{table.title}, {table.threads} threads or workers, batch {BATCH}", rows)


def rows_of(measured: dict[str, list[Steady]], baseline: str, decode: str | None) -> list[Row]:
    """A row for each arm: medians, extremes, and ratios to `baseline` and to the rate of `decode`."""
    rate = {name: statistics.median(one.rate for one in rounds) for name, rounds in measured.items()}
    return [
        {
            "name": name,
            "images_per_second": rate[name],
            "lowest": min(one.rate for one in rounds),
            "highest": max(one.rate for one in rounds),
            "cpu_ms_per_image": 1000 * statistics.median(one.cpu_seconds_per_image for one in rounds),
            **({"ratio_to_baseline": rate[name] / rate[baseline]} if baseline in rate else {}),
            **({"share_of_decode_rate": rate[name] / rate[decode]} if decode in rate else {}),
        }
        for name, rounds in measured.items()
    ]


def both_loaders(
    dataset: PairDataset | DetectionDataset, transform: PlacingTransform, batch: int, threads: int, seed: int
) -> dict[str, Callable[[], DaliLoader | CachedLoader]]:
    """What opens each of our loaders of images with targets in places, by its name."""

    def open_as(kind: Callable[..., DaliLoader | CachedLoader]) -> DaliLoader | CachedLoader:
        return kind(dataset, transform, batch, Share(training=True, seed=seed), threads=threads)

    return {kind.__name__: partial(open_as, kind) for kind in (DaliLoader, CachedLoader)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of JPEGs; else they are made from two photographs")
    parser.add_argument("--cifar", type=Path, help="a folder that holds CIFAR-10; else tiles of the two photographs")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads or worker processes")
    parser.add_argument("--seconds", type=float, default=0.7, help="how long each arm is timed in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args(arguments)
    about = machine("torchvision", "pillow", *DALI) | {"rounds": options.rounds}
    torch.set_num_threads(1)  # as the DataLoader's workers do
    with tempfile.TemporaryDirectory() as scratch:
        dataset, small = photographs(options.images, Path(scratch)), small_images(options.cifar)
        size = np.mean([Path(dataset.path(index)).stat().st_size for index in range(len(dataset))]) / 1000
        made = "" if options.images else ", made from scikit-learn's two photographs"
        about["photographs"] = f"{len(dataset)} JPEGs, {size:.0f} kB on average{made}"
        about["small_images"] = f"{len(small):,} images of {small.name}"
        results = Results(about, options.json)
        for table in comparisons(dataset, small, options.threads):
            measure(table, results, options.seconds, options.rounds)


if __name__ == "__main__":
    main()
