"""What label maps cost on a CPU: augmenting images with them, loading them, and the steps of a search and of a student.

Augmentation: photographs of 256 x 256 in batches of 8, from uint8 to normalised floats, turned, shifted, and changed in
brightness and contrast, their label maps with them. Ours is what a run does, for the student (forward) and in the
search (both); torchvision's is RandomAffine and ColorJitter on one image after the other, as a data set calls them.
Loading: pairs to random crops of 256 x 256, resized by 0.5 to 2; beside it, torchvision's functions in a bare loop
of as many threads.
Steps: those of the preset segmentation/scenes, on one batch.

    python -m benchmarks.segmentation --pairs CAMVID --json benchmarks/results/segmentation-cpu.json
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchvision.transforms.v2.functional as vision
from accelerate import Accelerator
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torchvision import tv_tensors
from torchvision.io import ImageReadMode, decode_image, read_file
from torchvision.transforms import v2

from benchmarks.loaders import DALI, both_loaders, endless, rows_of
from benchmarks.results import Results, Row, add_options, machine, measure, step_rows
from benchmarks.timing import Timed, interleaved, steady
from tst_fast.config import reading
from tst_fast.config.data import DataConfig
from tst_fast.config.policy import PolicyConfig
from tst_fast.policy.augmenter import Augmenter
from tst_fast.run.session import Session
from tst_kernels import OPERATIONS, Draw, box_mask, warp
from tst_pipelines import CachedLoader, DaliLoader, PairDataset, ScaleCropFlip, image_pairs
from tst_pipelines.sampling import uniforms

SIZE, BATCH, SETTLE = 256, 8, 8
MADE = 64  # pairs made where no folder is given
NAMES = ("Rotate", "TranslateX", "Brightness", "Contrast")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP = ScaleCropFlip((SIZE, SIZE))
SEED = 0


def photographs() -> tuple[Tensor, Tensor]:
    """Of scikit-learn's two photographs, uint8 [8, 256, 256, 3], and label maps in squares, uint8 [8, 256, 256]."""
    sources, random = load_sample_images().images, np.random.default_rng(SEED)
    corners = random.integers(0, (427 - SIZE, 640 - SIZE), (BATCH, 2)).tolist()
    images = [sources[i % 2][top : top + SIZE, left : left + SIZE] for i, (top, left) in enumerate(corners)]
    labels = (torch.arange(SIZE)[:, None] // 20 + torch.arange(SIZE) // 30) % 11
    return torch.from_numpy(np.stack(images)), labels.byte().expand(BATCH, SIZE, SIZE).contiguous()


def ours(compiled: bool, gradients: bool) -> Timed:
    """An augmentation by a draw of all four operations, as a run makes it; with gradients to levels and gates."""
    images, labels = photographs()
    config = PolicyConfig(compile=compiled)
    augmenter = Augmenter(None, config, DataConfig(mean=MEAN, std=STD), composed=True)
    codes = torch.tensor([OPERATIONS[name].code for name in NAMES]).expand(BATCH, len(NAMES))
    generator = torch.Generator().manual_seed(SEED)
    levels, gates = (torch.rand(BATCH, len(NAMES), generator=generator).requires_grad_(gradients) for _ in range(2))
    weights = torch.rand(BATCH, 3, SIZE, SIZE, generator=generator)

    def run(_: object) -> None:
        with torch.set_grad_enabled(gradients):
            augmented, geometry = augmenter.apply(images, Draw(codes, levels, gates))
        if gradients:
            torch.autograd.grad(augmented, (levels, gates), weights)
        else:
            assert geometry is not None  # warps are composed
            erased = torch.where(box_mask(geometry.erased, SIZE, SIZE), 255, labels)
            warp(erased, geometry.theta, "nearest", fill=255)

    return lambda: None, run


def torchvisions() -> Timed:
    """torchvision's transforms of the same kinds, on one image and label map after the other, stacked."""
    images, labels = photographs()
    pairs = [(tv_tensors.Image(i.permute(2, 0, 1)), tv_tensors.Mask(m)) for i, m in zip(images, labels, strict=True)]
    fill = {tv_tensors.Image: [round(255 * value) for value in MEAN], tv_tensors.Mask: 255}
    chain = v2.Compose(
        [
            v2.ColorJitter(brightness=0.9, contrast=0.9),
            v2.RandomAffine(30, (0.45, 0.0), interpolation=v2.InterpolationMode.BILINEAR, fill=fill),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )

    def run(_: object) -> None:
        for parts in zip(*(chain(*pair) for pair in pairs), strict=True):
            torch.stack(parts)

    return lambda: None, run


def augmentation(rounds: int) -> list[Row]:
    """images/s of each arm, and the ratio to torchvision's."""
    arms = {
        ("ours", "forward"): ours(False, False),
        ("ours, compiled", "forward"): ours(True, False),
        ("torchvision", "forward"): torchvisions(),
        ("ours", "both"): ours(False, True),
        ("ours, compiled", "both"): ours(True, True),
    }
    seconds = interleaved(arms, rounds, warmup=2)
    baseline = statistics.median(seconds["torchvision", "forward"])
    return [
        {
            "name": name,
            "pass": passes,
            "images_per_second": BATCH / statistics.median(times),
            "lowest": BATCH / max(times),
            "highest": BATCH / min(times),
            "ratio_to_torchvision": baseline / statistics.median(times) if passes == "forward" else None,
        }
        for (name, passes), times in seconds.items()
    ]


def pairs_of(folder: Path | None, scratch: Path) -> PairDataset:
    """Images and label maps below `images/train` and `labels/train`, or some that are made of the two photographs."""
    if folder is None:
        folder, sources = scratch, [Image.fromarray(image) for image in load_sample_images().images]
        random = np.random.default_rng(SEED)
        for kind in ("images", "labels"):
            (folder / kind / "train").mkdir(parents=True)
        for number, (left, top) in enumerate(random.integers(0, (640 - 480, 427 - 360), (MADE, 2)).tolist()):
            sources[number % 2].crop((left, top, left + 480, top + 360)).save(folder / f"images/train/{number}.jpg")
            coarse = Image.fromarray(random.integers(0, 11, (9, 12)).astype(np.uint8))
            coarse.resize((480, 360), Image.Resampling.NEAREST).save(folder / f"labels/train/{number}.png")
    return image_pairs(folder / "images/train", folder / "labels/train", [str(label) for label in range(254)])


def torchvision_pairs(dataset: PairDataset, threads: int) -> Iterator[object]:
    """Batches of the same crops, drawn alike, by torchvision's functions in threads; without end."""
    random = np.random.default_rng(SEED)
    with ThreadPoolExecutor(threads) as pool:
        while True:
            indices, numbers = random.integers(0, len(dataset), BATCH).tolist(), random.random((BATCH, 4)).tolist()
            made = pool.map(partial(_torchvision_pair, dataset), indices, numbers)
            yield [torch.stack(parts) for parts in zip(*made, strict=True)]


def _torchvision_pair(dataset: PairDataset, index: int, numbers: Sequence[float]) -> list[Tensor]:
    image = tv_tensors.Image(decode_image(read_file(dataset.path(index)), ImageReadMode.RGB))
    labels = tv_tensors.Mask(decode_image(read_file(dataset.label_path(index))))
    factor, *corner, mirrored = numbers
    size = [round(side * (0.5 + 1.5 * factor)) for side in image.shape[1:]]
    top, left = (int(u * (max(side - SIZE, 0) + 1)) for u, side in zip(corner, size, strict=True))
    parts = []
    for part, fill in ((image, 0), (labels, 255)):
        part = vision.resize(part, size, antialias=True)
        below, right = (max(SIZE - side, 0) for side in size)
        part = vision.crop(vision.pad(part, [0, 0, right, below], fill), top, left, SIZE, SIZE)
        parts.append(vision.horizontal_flip(part) if mirrored < 0.5 else part)
    return parts


def loading(dataset: PairDataset, threads: int, seconds: float, rounds: int) -> list[Row]:
    """pairs/s and CPU time a pair of the loaders; and whether their labels are those that Pillow's nearest gives."""
    torch.set_num_threads(1)  # the loaders have threads of their own
    ours = both_loaders(dataset, CROP, BATCH, threads, SEED)
    arms = {"torchvision, bare loop": partial(torchvision_pairs, dataset, threads)}
    arms |= {name: partial(endless, opened) for name, opened in ours.items()}
    rows = rows_of(steady(arms, BATCH, seconds, SETTLE, rounds), "torchvision, bare loop", None)
    for row, opened in zip(rows[1:], ours.values(), strict=True):
        with closing(opened()) as loader:
            row["labels_equal_to_pillows"] = labels_equal(loader)
    return rows


def labels_equal(loader: DaliLoader | CachedLoader) -> bool:
    """Whether every label of an epoch is the one that Pillow takes, from the same region by the same numbers."""
    dataset = loader.dataset
    assert isinstance(dataset, PairDataset)  # as of `loading`
    for step, batch in enumerate(loader):
        numbers = uniforms(SEED, 0, BATCH * step, len(batch), CROP.random_numbers)
        for row, index in enumerate(batch.indices.tolist()):
            if not np.array_equal(batch.labels[row].numpy(), _by_pillow(dataset.label_path(index), numbers[row])):
                return False
    return True


def _by_pillow(file: str, numbers: np.ndarray) -> np.ndarray:
    with Image.open(file) as labels:
        whole = np.array(labels.size)
        scaled = np.maximum(np.round(whole * (CROP.scale[0] + (CROP.scale[1] - CROP.scale[0]) * numbers[0])), 1)
        size = np.minimum(scaled, SIZE)
        extent = np.round(size * whole / scaled).clip(1, whole)
        corner = np.floor(numbers[[2, 1]] * (whole - extent + 1))
        box = (*corner.tolist(), *(corner + extent).tolist())
        part = np.asarray(labels.resize(tuple(size.astype(int).tolist()), Image.Resampling.NEAREST, box=box))
    placed = np.full(CROP.size, 255, np.uint8)
    placed[: part.shape[0], : part.shape[1]] = part[:, ::-1] if numbers[3] < CROP.flip else part
    return placed


def steps(rounds: int) -> list[Row]:
    """Seconds of a step of the student and of one of the search, on one batch of the preset's size."""
    with closing(Session(reading.from_flags(["--config", "segmentation/scenes"]), Accelerator(cpu=True))) as session:
        batch = next(iter(session.training_loader))
        session.settle_teacher()
        learners = {"student step": session.learners.student, "search step": session.learners.require_search()}
        arms: dict[str, Timed] = {
            name: (lambda: None, lambda _, one=one: one.step(batch)) for name, one in learners.items()
        }
        seconds = interleaved(arms, 3 * rounds, warmup=3)
    return step_rows(seconds, len(batch))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pairs", type=Path, help="holds images/train and labels/train, as CamVid; else pairs are made"
    )
    add_options(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    about = machine("torchvision", "pillow", *DALI) | {"rounds": options.rounds}
    with tempfile.TemporaryDirectory() as scratch:
        dataset = pairs_of(options.pairs, Path(scratch))
        made = "" if options.pairs else ", made from scikit-learn's two photographs"
        about["pairs"] = f"{len(dataset)} of {options.pairs.name if options.pairs else 'two photographs'}{made}"
        results = Results(about, options.json)
        tables: dict[str, Callable[[], list[Row]]] = {
            f"{BATCH} images of {SIZE} px with label maps, four operations": partial(augmentation, options.rounds),
            "steps of segmentation/scenes": partial(steps, options.rounds),
            f"pairs to random crops of {SIZE} px": partial(
                loading, dataset, options.threads, options.seconds, options.rounds
            ),
        }
        measure(tables, results)


if __name__ == "__main__":
    main()
