"""Ways to take a step: the program's own, and its loop with other libraries augmenting."""

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks import peers, work
from benchmarks.peers import Unavailable
from tst_fast.run.plan import Stage
from tst_fast.run.session import Session
from tst_fast.run.stopwatch import Stopwatch
from tst_kernels import normalise
from tst_pipelines import Batch, SyntheticLoader, Targets

KD, STUDENT, SEARCH = "KD", "TST, student", "TST, search"
KORNIA, TORCHVISION = "KD, kornia augments", "KD, torchvision augments"
KEPT, LOADED, WORKERS = "one batch", "loader", "workers"
"""Where batches come from: one is on the device and is taken again and again."""
Key = tuple[str, str]
"""What a step does, and where its batches come from."""
STEPS: tuple[Key, ...] = ((KD, KEPT), (STUDENT, KEPT), (SEARCH, KEPT))
OWN: tuple[Key, ...] = (*STEPS, (KD, LOADED), (STUDENT, LOADED))
PEERS: tuple[Key, ...] = ((KORNIA, KEPT), (TORCHVISION, WORKERS))


@dataclass(frozen=True)
class Arm:
    """A way to take a step.

    Attributes:
        name: what the step does.
        data: where its batches come from.
        images: that the student sees in a step.
        step: takes it.
        batches: makes an endless stream of batches.
        settle: batches that are taken before the clock starts, for they were prepared in advance.
        missing: why it cannot be taken, where it cannot.
    """

    name: str
    data: str
    images: int
    step: Callable[[Batch], object] = lambda batch: None
    batches: Callable[[], Generator[Batch]] = lambda: (batch for batch in ())
    settle: int = 0
    missing: str | None = None

    @property
    def key(self) -> Key:
        """What it is called by."""
        return self.name, self.data


def own_arms(kd: Session, tst: Session) -> list[Arm]:
    """The program's steps, on one batch and on the loader's.

    Args:
        kd: without augmentation, with second crops.
        tst: with augmentation.
    """
    plain, batch = next(iter(kd.student_loader)), next(iter(tst.student_loader))
    student, doubled = _taken(tst, "student"), _taken(kd, "student")
    settle = 2 + tst.config.data.prefetch
    missing = "DALI is not installed" if isinstance(tst.training_loader, SyntheticLoader) else None
    return [
        Arm(KD, KEPT, 2 * len(batch), doubled, partial(_again, plain)),
        Arm(STUDENT, KEPT, 2 * len(batch), student, partial(_again, batch)),
        Arm(SEARCH, KEPT, len(batch), _taken(tst, "search"), partial(_again, batch)),
        Arm(KD, LOADED, 2 * len(batch), doubled, partial(_endless, kd), settle, missing),
        Arm(STUDENT, LOADED, 2 * len(batch), student, partial(_endless, tst), settle, missing),
    ]


def peers_arms(kd: Session, stopwatch: Stopwatch, workers: int) -> list[Arm]:
    """KD, where other libraries put augmented images before those of one batch; of recognition alone.

    Args:
        kd: whose networks learn.
        stopwatch: is told of kornia's augmentation.
        workers: processes in which torchvision's transforms run.
    """
    batch, learn = next(iter(kd.training_loader)), _taken(kd, "student")
    images = 2 * len(batch)
    try:
        make = _kornias(kd, stopwatch)
        kornia = Arm(KORNIA, KEPT, images, lambda one: learn(make(one)), partial(_again, batch))
    except Unavailable as reason:
        kornia = Arm(KORNIA, KEPT, images, missing=str(reason))
    in_workers = partial(_torchvisions, batch, kd.config.policy.operations_per_image, workers)
    return [kornia, Arm(TORCHVISION, WORKERS, images, learn, in_workers, settle=2 * workers + 1)]


def _taken(session: Session, stage: Stage) -> Callable[[Batch], object]:
    """A step of a run's stage, as its loop takes it."""
    mixing, learner = session.mixing[stage], session.learners.of(stage)
    return lambda batch: learner.step(mixing(batch))


def _again(batch: Batch) -> Generator[Batch]:
    while True:
        yield batch


def _endless(session: Session) -> Generator[Batch]:
    while True:
        yield from session.student_loader


def _kornias(session: Session, stopwatch: Stopwatch) -> Callable[[Batch], Batch]:
    """The policy's operations by kornia, as many of them, the same for all images of a batch.

    Raises:
        Unavailable: kornia is not installed.
    """
    peer, config = peers.kornia(), session.config.policy

    @torch.no_grad()
    def make(batch: Batch) -> Batch:
        with stopwatch.measure("augmentation"):
            images = normalise(batch.images)
            chosen = random.sample(config.operations, config.operations_per_image)
            augmented = work.superimposed(peer, chosen, *work.inputs(images, gradients=False))
        return _twice(torch.cat([augmented, images]), batch)

    return make


def _torchvisions(batch: Batch, operations: int, workers: int) -> Generator[Batch]:
    """torchvision's RandAugment in a DataLoader's workers, over and over on the images of one batch."""
    images, pinned = _Augmented(batch.images.cpu(), operations), batch.images.is_cuda
    loader = DataLoader(images, len(batch), num_workers=workers, pin_memory=pinned)
    for augmented, images in loader:
        yield _twice(torch.cat([augmented, images]).to(batch.images.device, non_blocking=True), batch)


class _Augmented(Dataset):
    """Images, uint8 [H, W, 3], under torchvision's RandAugment, and as they are; without end.

    Args:
        images: uint8 [B, H, W, 3] in host memory.
        operations: of RandAugment.
    """

    def __init__(self, images: Tensor, operations: int) -> None:
        self.images, self.transform = images.permute(0, 3, 1, 2), v2.RandAugment(operations)

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = self.images[index % len(self.images)]
        return self.transform(image).permute(1, 2, 0).contiguous(), image.permute(1, 2, 0).contiguous()


def _twice(images: Tensor, batch: Batch) -> Batch:
    """Images for the targets of a batch, and again for them."""
    return Batch.of(images, Targets.cat([batch.targets] * 2), batch.indices.repeat(2))
