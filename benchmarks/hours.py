"""Hours of a preset on 1, 8 and 64 GPUs, predicted by arithmetic, and what limits each; no GPU is needed.

A step takes as long as the slowest of what goes on at the same time: decoding on the host's cores, arithmetic and
memory traffic of the GPU, starting of its kernels by the host, exchange of gradients. Operators are counted as PyTorch
runs them; CPU time of decoding and the speed of the augmentation are from results/; the rest are data sheets and
assumptions, listed in the result. Where something was measured, the same arithmetic predicts it, and the error is
beside it.

    python -m benchmarks.hours --json benchmarks/results/hours.json
"""

import argparse
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_iter

from benchmarks.operators import Work, work_of
from benchmarks.results import FOLDER, Results, Row, machine, show
from benchmarks.training.arms import KD, KEPT, SEARCH
from benchmarks.training.pairs import PAIRS
from tst_fast.config import reading
from tst_fast.config.schema import Config
from tst_fast.models.build import build_model
from tst_fast.models.detection import build_detector
from tst_fast.models.segmentation.build import build_segmenter, without_published
from tst_fast.run.plan import Stage, count_steps, plan

GPUS = (1, 8, 64)
COUNTED_IMAGES = 2
"""In a pass whose operators are counted; all of a network's work but that on weights grows with the images."""


@dataclass(frozen=True)
class Cluster:
    """Nodes of a DGX H100. The first five are from data sheets, the others assumptions.

    Attributes:
        flops: of a GPU, dense, bfloat16, a second.
        bandwidth: of a GPU's memory, bytes a second.
        gpus_per_node: in one machine.
        cores_per_gpu: of the host's 112.
        link: bytes a second and direction, of each GPU: within a node (NVLink), and between nodes (400 Gb/s each).
        flops_share: of the data sheet's rate that convolutions reach.
        bandwidth_share: of the data sheet's bandwidth that operators reach.
        link_share: of a link's rate that an all-reduce reaches.
        launch: seconds of the host for each operator of PyTorch, autocast and autograd included.
        augmentation_share: of the bound in results/bounds.json that the augmentation reaches.
    """

    flops: float = 989.4e12
    bandwidth: float = 3.35e12
    gpus_per_node: int = 8
    cores_per_gpu: int = 14
    link: tuple[float, float] = (450e9, 50e9)
    flops_share: float = 0.4
    bandwidth_share: float = 0.7
    link_share: float = 0.6
    launch: float = 8e-6
    augmentation_share: float = 0.5

    def seconds(self, work: Work) -> float:
        """Of a GPU, in bfloat16: half the bytes of float32, in which the work was counted."""
        return work.seconds(self.flops_share * self.flops, 2 * self.bandwidth_share * self.bandwidth)

    def exchange(self, gpus: int, parameters: int) -> float:
        """Seconds of a ring all-reduce of float32 gradients."""
        if gpus == 1:
            return 0.0
        rate = self.link[gpus > self.gpus_per_node] * self.link_share
        return 2 * (gpus - 1) / gpus * 4 * parameters / rate


@dataclass(frozen=True)
class Workload:
    """A preset, and what is known of its images.

    Attributes:
        data: what it is called.
        preset: its name.
        images: for training, and for evaluation; as their publishers count them.
        classes: as the networks see them.
        decoding: the result and the row that measured `cpu_ms_per_image`.
        pixels: of the canvas that this row decoded to or from; its CPU time is taken to grow with them. None: as it is.
        from_pixels: likewise, of this preset.
    """

    data: str
    preset: str
    images: tuple[int, int]
    classes: int
    decoding: str
    pixels: int | None = None
    from_pixels: int | None = None

    @property
    def decode_seconds(self) -> float:
        """Of one core for an image."""
        row = named(self.decoding, "DaliLoader")
        scale = self.from_pixels / self.pixels if self.pixels and self.from_pixels else 1.0
        return row["cpu_ms_per_image"] / 1000 * scale


WORKLOADS = (
    Workload("ImageNet, 100 epochs", "resnet34-resnet18", (1_281_167, 50_000), 1000, "loaders-cpu"),
    # Measured to a canvas of 512 x 640.
    Workload("COCO", "fcos_resnet50-fcos_resnet18", (118_287, 5_000), 80, "detection-cpu", 512 * 640, 768 * 1280),
    # Measured on CamVid's pairs of PNGs.
    Workload(
        "Cityscapes", "deeplabv3_resnet101-deeplabv3_resnet18", (2_975, 500), 19, "segmentation-cpu", 360 * 480,
        1024 * 2048,
    ),
)  # fmt: skip


def named(result: str, name: str, **more: object) -> Row:
    """A row of a result, by its name and other columns."""
    rows = json.loads((FOLDER / f"{result}.json").read_text(encoding="utf-8"))["rows"]
    wanted = {"name": name, **more}
    return next(row for row in rows if wanted.items() <= row.items())


def network_of(config: Config, role: str, classes: int) -> nn.Module:
    """A preset's network on the device "meta": shapes, and no weights."""
    chosen = getattr(config, role)
    with torch.device("meta"):
        if config.task == "detection":
            arguments = {name: value for name, value in chosen.arguments.items() if name != "pretrained"}
            return build_detector(chosen.name, [str(i) for i in range(classes)], arguments)
        if config.task == "segmentation":
            return build_segmenter(chosen.name, classes, without_published(chosen.arguments))
        return build_model(chosen.name, classes, chosen.arguments)


@dataclass(frozen=True)
class Steps:
    """The operators of a run's networks, of one image: in inference, in a student's step and in a search's.

    Attributes:
        inference: of the student's forward pass.
        student: of both networks on an augmented and on a plain image, and of the student's backward pass.
        search: of both networks on an augmented image, and of the gradient by its pixels.
        parameters: of the student.
    """

    inference: Work
    student: Work
    search: Work
    parameters: int

    @classmethod
    def of(cls, teacher: nn.Module, student: nn.Module, size: tuple[int, int]) -> "Steps":
        """Count them on images of this size."""
        inference, seen = work_of(lambda: _forward(student, size)), work_of(lambda: _forward(teacher, size))
        training = work_of(lambda: _backward(student, size))
        frozen = [copy.deepcopy(network).requires_grad_(False).eval() for network in (teacher, student)]
        search = [work_of(lambda network=network: _backward(network, size, by_image=True)) for network in frozen]
        an_image = 1 / COUNTED_IMAGES
        return cls(
            inference.times(an_image),
            (seen + training).times(2 * an_image),
            (search[0] + search[1]).times(an_image),
            sum(parameter.numel() for parameter in student.parameters()),
        )


def _forward(network: nn.Module, size: tuple[int, int]) -> None:
    with torch.no_grad():
        network.eval()(torch.empty(COUNTED_IMAGES, 3, *size, device="meta"))


def _backward(network: nn.Module, size: tuple[int, int], by_image: bool = False) -> None:
    if not by_image:
        network.train()
    images = torch.empty(COUNTED_IMAGES, 3, *size, device="meta", requires_grad=by_image)
    outputs = [one for one in tree_iter(network(images)) if isinstance(one, Tensor) and one.requires_grad]
    torch.autograd.backward(outputs, [torch.empty_like(one) for one in outputs])


def size_of(config: Config) -> tuple[int, int]:
    """Height and width that a preset's networks are trained at."""
    square = config.data.image_size
    return (square, square) if config.task == "classification" else config.data.crop_size


def steps_of(config: Config, classes: int) -> Steps:
    """A preset's."""
    teacher, student = (network_of(config, role, classes) for role in ("teacher", "student"))
    return Steps.of(teacher, student, size_of(config))


def predict(workload: Workload, cluster: Cluster) -> list[Row]:
    """Hours on each number of GPUs."""
    config = reading.from_flags(["--config", workload.preset, "--data.root", "given"])
    steps = steps_of(config, workload.classes)
    return [_hours(workload, config, steps, cluster, gpus) for gpus in GPUS]


def _hours(workload: Workload, config: Config, steps: Steps, cluster: Cluster, gpus: int) -> Row:
    batch = max(config.data.batch_size, gpus)  # an image for each GPU is the least
    images = batch / gpus
    height, width = size_of(config)
    bound = named_bound() * 224 * 224 / (height * width) * cluster.augmentation_share
    kinds: dict[Stage, Work] = {"student": steps.student, "search": steps.search}
    parts = {
        kind: {
            "decoding": images * workload.decode_seconds / cluster.cores_per_gpu,
            "GPU": cluster.seconds(work.times(images)) + images / bound * (1 if kind == "student" else 3),
            "kernel launches": cluster.launch * len(work.flops),
            "network": cluster.exchange(gpus, steps.parameters) if kind == "student" else 0.0,
        }
        for kind, work in kinds.items()
    }
    train, test = workload.images
    counts = count_steps(config, plan(config, train // batch))
    evaluations = -(-config.student_training.epochs // config.evaluate_every)
    evaluation = test / gpus * max(cluster.seconds(steps.inference), workload.decode_seconds / cluster.cores_per_gpu)
    slowest = {kind: max(of_kind.values()) for kind, of_kind in parts.items()}
    seconds = evaluations * evaluation + sum(counts[kind] * slowest[kind] for kind in kinds)
    student = parts["student"]
    return {
        "part": "hours",
        "data": workload.data,
        "preset": workload.preset,
        "gpus": gpus,
        "batch": batch,
        "hours": seconds / 3600,
        "limit": max(student, key=lambda name: student[name]),
        "images_per_second": batch / slowest["student"],
        "student_step_ms": {name: 1000 * value for name, value in student.items()},
        "gigaflops_per_image": steps.student.total_flops / 1e9,
    }


def named_bound() -> float:
    """images/s of 224 pixels that the augmentation's instructions allow an H100, from uint8 without padding."""
    rows = json.loads((FOLDER / "bounds.json").read_text(encoding="utf-8"))["rows"]
    return next(row["issue_bound"] for row in rows if row["gpu"] == "H100 SXM" and row["images"] == "nhwc")


def checks() -> list[Row]:
    """The same arithmetic, where something was measured: on a CPU."""
    return [*_networks_on_a_cpu(), *_dense_searches(), *_decoding()]


def _networks_on_a_cpu() -> list[Row]:
    """From the time of KD alone of one pair: its search, and all steps of the other pairs of recognition."""
    rows = json.loads((FOLDER / "training-cpu.json").read_text(encoding="utf-8"))["rows"]
    measured = {(row["pair"], row["step"]): row for row in rows if row["data"] == KEPT and "note" not in row}
    pairs = [pair for pair in PAIRS if pair.is_recognition and (pair.preset, KD) in measured]
    flops = {}
    for pair in pairs:
        steps = steps_of(reading.from_flags(["--config", pair.preset, "--data.root", "given"]), pair.classes)
        batch = measured[pair.preset, KD]["batch"]
        flops[pair.preset, KD] = batch * steps.student.total_flops
        flops[pair.preset, SEARCH] = batch * steps.search.total_flops
    known = pairs[0].preset, KD
    rate = flops[known] / _network_ms(measured[known])
    return [
        _check(f"networks of a step, ms: {', '.join(key)}", flops[key] / rate, _network_ms(measured[key]))
        for key in flops
        if key != known
    ]


def _network_ms(row: Row) -> float:
    return row["teacher_ms"] + row["student_ms"] + row["backward_ms"]


def _dense_searches() -> list[Row]:
    """A search's step by a student's, from operations alone."""
    rows = []
    for task in ("segmentation", "detection"):
        config = reading.from_flags(["--config", f"{task}/scenes"])
        steps = steps_of(config, 10)
        predicted = steps.search.total_flops / steps.student.total_flops
        measured = named(f"{task}-cpu", "search step")["ratio_to_student_step"]
        rows.append(_check(f"search step / student step: {task}/scenes", predicted, measured))
    return rows


def _decoding() -> list[Row]:
    """images/s of the loaders from their CPU time, as if all threads always worked."""
    rows = []
    for result in ("loaders-cpu", "segmentation-cpu", "detection-cpu"):
        about = json.loads((FOLDER / f"{result}.json").read_text(encoding="utf-8"))
        row = named(result, "DaliLoader")
        threads = row.get("threads", about["threads"])
        predicted = 1000 * threads / row["cpu_ms_per_image"]
        rows.append(_check(f"DaliLoader, images/s: {result}", predicted, row["images_per_second"]))
    return rows


def _check(what: str, predicted: float, measured: float) -> Row:
    error = predicted / measured - 1
    return {"part": "checks", "name": what, "predicted": predicted, "measured": measured, "error": f"{error:+.0%}"}


def constants(cluster: Cluster) -> Mapping[str, Any]:
    """What the prediction rests on: data sheets, assumptions, and what was measured."""
    fields = vars(cluster)
    sheet = ("flops", "bandwidth", "gpus_per_node", "cores_per_gpu", "link")
    return {
        "data_sheet": {name: fields[name] for name in sheet},
        "assumed": {name: value for name, value in fields.items() if name not in sheet},
        "measured": {f"{one.data}: CPU ms an image": 1000 * one.decode_seconds for one in WORKLOADS},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Predict, check, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args(arguments)
    cluster = Cluster()
    results = Results({**machine("torchvision"), **constants(cluster)}, options.json)
    for row in [*(row for one in WORKLOADS for row in predict(one, cluster)), *checks()]:
        results.add(row)
    for part in ("hours", "checks"):
        show(part, [row for row in results.rows if row["part"] == part])


if __name__ == "__main__":
    main()
