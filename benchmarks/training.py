"""What a TST step costs beside plain KD: images/s, memory and the time of each stage; the images are there already.

A student step shows both networks an augmented and a plain half; KD shows them as many images, all of them plain. A
search step is the policy's update: both networks on augmented images, and gradients through them and the augmentation.
Networks have random weights and images are noise: neither changes the time.

    python -m benchmarks.training --json benchmarks/results/training-cpu.json
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.results import Results, Row, machine, show
from benchmarks.timing import synchronise
from tst_fast.losses.distillation import kd
from tst_fast.losses.search import confidence_terms
from tst_fast.models import cifar
from tst_fast.models.frozen import frozen
from tst_fast.policy.policy import Policy
from tst_kernels import OPERATIONS, mix, normalise

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TAU = 1.0
Mark = Callable[[str], None]
"""Says that a stage of this name is over."""


@dataclass(frozen=True)
class Pair:
    """A teacher and a student of the paper's.

    Attributes:
        teacher: its name, torchvision's for 224 px, else one of `cifar.MODELS`.
        student: likewise.
        size: image side in pixels.
        classes: outputs.
    """

    teacher: str
    student: str
    size: int
    classes: int

    def __str__(self) -> str:
        return f"{self.teacher}-{self.student}"

    def build(self, name: str) -> nn.Module:
        """A network with random weights."""
        if self.size == 32:
            return cifar.MODELS[name](num_classes=self.classes)
        import torchvision

        return torchvision.models.get_model(name, weights=None, num_classes=self.classes)


IMAGENET = Pair("resnet34", "resnet18", 224, 1000)
CIFAR = Pair("resnet32x4", "resnet8x4", 32, 100)


class Training:
    """Networks, optimizers, a policy and images: everything that a step takes.

    Args:
        pair: the networks.
        batch: images of a TST step, before augmentation.
        device: where all of it is.
        size: image side in place of the pair's.
    """

    def __init__(self, pair: Pair, batch: int, device: torch.device, size: int | None = None) -> None:
        side = size or pair.size
        self.teacher, self.student = (
            pair.build(name).to(device, memory_format=torch.channels_last) for name in (pair.teacher, pair.student)
        )
        self.policy = Policy([name for name in OPERATIONS if name != "AutoContrast"]).to(device)
        self.optimizer = torch.optim.SGD(self.student.parameters(), lr=0.1, momentum=0.9, fused=device.type == "cuda")
        self.policy_optimizer = torch.optim.SGD(self.policy.parameters(), lr=0.01, momentum=0.9)
        self.images = torch.randint(0, 256, (2 * batch, side, side, 3), dtype=torch.uint8, device=device)
        self.labels = torch.randint(0, pair.classes, (2 * batch,), device=device)
        self.batch, self.device = batch, device

    def kd(self, mark: Mark) -> None:
        """Plain KD on twice the batch."""
        self._update(normalise(self.images, MEAN, STD), self.labels, mark)

    def tst(self, mark: Mark) -> None:
        """The student's update: the augmented half, then the plain one."""
        images, labels = self.images[: self.batch], self.labels[: self.batch]
        with torch.no_grad():
            augmented = mix(images, self.policy.draw(self.batch), MEAN, STD)
            both = torch.cat([augmented, normalise(images, MEAN, STD)])
        self._update(both, labels.repeat(2), mark)

    def _update(self, images: Tensor, labels: Tensor, mark: Mark) -> None:
        images = images.contiguous(memory_format=torch.channels_last)
        mark("images")
        with frozen(self.teacher), torch.no_grad():
            answers = self._logits(self.teacher, images)
        mark("teacher")
        student = self._logits(self.student.train(), images)
        loss = F.cross_entropy(student, labels) + kd(student, answers, labels, tau=TAU)
        mark("student")
        loss.backward()
        mark("backward")
        self.optimizer.step()
        self.optimizer.zero_grad()
        mark("optimizer")

    def search(self, mark: Mark) -> None:
        """The policy's update, on the batch."""
        images, labels = self.images[: self.batch], self.labels[: self.batch]
        augmented = mix(images, self.policy.draw(self.batch), MEAN, STD)
        augmented = augmented.contiguous(memory_format=torch.channels_last)
        mark("images")
        with frozen(self.teacher, self.student):
            teacher = self._logits(self.teacher, augmented)
            mark("teacher")
            loss = sum(confidence_terms(teacher, self._logits(self.student, augmented), labels))
            mark("student")
            loss.backward()
            mark("backward")
        self.policy_optimizer.step()
        self.policy_optimizer.zero_grad()
        mark("optimizer")

    def _logits(self, model: nn.Module, images: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16):
            return model(images).float()

    @property
    def steps(self) -> Mapping[str, tuple[Callable[[Mark], None], int]]:
        """Each way to take a step, and the images that the student sees in it."""
        return {
            "KD": (self.kd, 2 * self.batch),
            "TST, student": (self.tst, 2 * self.batch),
            "TST, search": (self.search, self.batch),
        }


class Marks:
    """When stages ended, by the GPU's own events, or by the host's clock: nothing waits while steps are taken."""

    def __init__(self, device: torch.device) -> None:
        self.on_gpu = device.type == "cuda"
        self.ends: list[tuple[str, object]] = []

    def __call__(self, stage: str) -> None:
        """A stage is over."""
        if self.on_gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.ends.append((stage, event))
        else:
            self.ends.append((stage, time.perf_counter()))

    def milliseconds(self) -> dict[str, float]:
        """Of each stage after the first mark; once the device is done."""
        pairs = zip(self.ends, self.ends[1:], strict=False)
        return {stage: self._between(begin, end) for (_, begin), (stage, end) in pairs}

    def _between(self, begin: object, end: object) -> float:
        return begin.elapsed_time(end) if self.on_gpu else 1e3 * (end - begin)


def measure(training: Training, name: str, seconds: float) -> Row:
    """Median times of a step and of its stages, and the most memory that was taken."""
    step, images = training.steps[name]
    for _ in range(2):
        step(lambda stage: None)
    synchronise()
    if training.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    taken: list[Marks] = []
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(taken) < 3:
        taken.append(Marks(training.device))
        taken[-1]("start")
        step(taken[-1])
        if len(taken) % 10 == 0:
            synchronise()  # so that the host does not run far ahead of the clock
    synchronise()
    times = [marks.milliseconds() for marks in taken]
    total = statistics.median(sum(stages.values()) for stages in times)
    row = {"images_per_second": 1e3 * images / total, "milliseconds": total}
    row |= {f"{stage}_ms": statistics.median(stages[stage] for stages in times) for stage in times[0]}
    if training.device.type == "cuda":
        row["peak_mebibytes"] = torch.cuda.max_memory_allocated() / 2**20
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure on a CPU, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="how long each row is timed")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args(arguments)
    device = torch.device("cpu")
    results = Results(machine("torchvision"), options.json)
    for pair, batch in ((CIFAR, 32), (IMAGENET, 4)):
        training = Training(pair, batch, device)
        for name in training.steps:
            what = {"pair": str(pair), "size": pair.size, "batch": batch, "step": name}
            results.add(what | measure(training, name, options.seconds))
    show("A step, in bfloat16", results.rows)


if __name__ == "__main__":
    main()
