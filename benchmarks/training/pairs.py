"""The pairs that are measured: presets with images made for them, opened as a run opens them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image

from benchmarks.loaders import HAS_DALI, photographs, small_images
from tst_fast.config import reading
from tst_fast.run.host_memory import keep_freed_memory
from tst_fast.run.session import Session

TILES = 2000  # small images that are written
SECOND_CROPS = ("--distillation.augment", "false", "--distillation.second_crop", "true")
"""Plain KD on as many images as a student's step of TST holds."""


@dataclass(frozen=True)
class Pair:
    """A preset, what its images are made of, and the batch that it is measured with on a CPU.

    Attributes:
        preset: as for `--config`.
        batch: images of a step, before augmentation; on a GPU it is the preset's.
        images: "photographs" or "tiles" in its `--data.root`; None: those that the preset brings.
        classes: that they have.
    """

    preset: str
    batch: int
    images: str | None = None
    classes: int = 1000

    @property
    def is_recognition(self) -> bool:
        """Whether images have neither label maps nor boxes, and other libraries can augment them alone."""
        return "/" not in self.preset


PAIRS = (
    Pair("resnet34-resnet18", 4, "photographs"),
    Pair("resnet32x4-resnet8x4", 16, "tiles", classes=100),
    Pair("digits", 64, classes=10),
    Pair("segmentation/scenes", 16, classes=10),
    Pair("detection/scenes", 16, classes=10),
    Pair("resnet50-mobilenetv1", 4, "photographs"),
)
ON_A_CPU = tuple(pair.preset for pair in PAIRS[:-1])
"""What is measured where nothing is chosen; the last is like the first, and as slow."""


@dataclass(frozen=True)
class Precision:
    """How networks compute.

    Attributes:
        mixed: Accelerate's mixed precision: "no" or "bf16".
        channels_last: the order of the weights in memory.
        compiled: both networks through torch.compile.
    """

    mixed: str = "no"
    channels_last: bool = False
    compiled: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """Of matrix products."""
        return torch.bfloat16 if self.mixed == "bf16" else torch.float32

    @property
    def flags(self) -> list[str]:
        """For a session."""
        values = {"--channels_last": self.channels_last, "--compile_networks": self.compiled}
        return [word for name, value in values.items() for word in (name, str(value).lower())]

    @property
    def columns(self) -> dict[str, object]:
        """As columns of a row."""
        order = "channels_last" if self.channels_last else "contiguous"
        return {
            "precision": str(self.dtype).removeprefix("torch."),
            "weights": order,
            "compiled": self.compiled,
        }


def data_flags(pair: Pair, given: Mapping[str, Path | None], scratch: Path) -> list[str]:
    """Flags for the images of a pair, which are made where none are given; lists of them are written into `scratch`.

    Without DALI, which loads photographs, random images stand in for them.

    Args:
        pair: what it needs.
        given: "photographs": a folder of JPEGs; "tiles": one that holds CIFAR-10; None: made of two photographs.
        scratch: a folder; what is made stays there for the next pair.
    """
    if pair.images is None:
        return []
    if pair.images == "photographs" and not HAS_DALI:
        return ["--data.name", "synthetic", "--data.classes", str(pair.classes)]
    root = scratch / pair.images
    root.mkdir(exist_ok=True)
    if pair.images == "photographs":
        dataset = photographs(given.get("photographs"), root)
        files = [dataset.path(index) for index in range(len(dataset))]
    else:
        files = [str(root / f"{index}.png") for index in range(TILES)]
        if not Path(files[-1]).exists():
            for file, pixels in zip(files, small_images(given.get("tiles")).images, strict=False):
                Image.fromarray(pixels).save(file)
    folder = Path(files[0]).parent
    listed = scratch / f"{pair.images}.txt"
    count = max(len(files), pair.classes)  # every class has an image
    listed.write_text("".join(f"{Path(files[i % len(files)]).name} {i % pair.classes}\n" for i in range(count)))
    return ["--data.name", "list", "--data.root", str(folder), "--data.train", str(listed), "--data.test", str(listed)]


def open_session(pair: Pair, precision: Precision, device: torch.device, flags: Sequence[str]) -> Session:
    """A session as of a run whose teacher has learned; networks have random weights, which cost the same.

    Args:
        pair: its preset.
        precision: of the networks.
        device: a CPU or the GPU.
        flags: of data, batch and distillation.
    """
    AcceleratorState._reset_state()  # one precision a process, otherwise
    if device.type == "cpu":
        keep_freed_memory()  # as `start_accelerator` does
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision=precision.mixed)
    words = ["--config", pair.preset, "--teacher.pretrained", "false", *precision.flags, *flags]
    session = Session(reading.from_flags(words), accelerator)
    session.settle_teacher()
    return session
