"""A run's student as an ONNX file, which needs neither this program nor PyTorch."""

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tst_fast.errors import UserError
from tst_fast.run.prediction import Predictor
from tst_fast.tasks.task import Task

INPUT = "images"


class Standalone(nn.Module):
    """Images as anyone has them to plain tensors: normalisation, network, and the task's reading of its output.

    Args:
        network: takes images normalised by `mean` and `std`.
        task: whose network it is.
        mean: of each channel, 0..1.
        std: of each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, task: Task, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network, self.task = network, task
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images, float32 [B, 3, H, W], RGB in 0..1, to the tensors of `Task.plain`."""
        height, width = images.shape[2:]
        return self.task.plain(self.network((images - self.mean) / self.std), (height, width))


def standalone(student: Predictor) -> Standalone:
    """The student of a run, in float32 on the CPU, in eval mode."""
    data = student.config.data
    return Standalone(student.network, student.task, data.mean, data.std).cpu().eval()


def write_onnx(student: Predictor, file: Path, size: tuple[int, int] | None = None) -> list[str]:
    """Write an ONNX file whose input `images` is float32 [B, 3, H, W], RGB in 0..1, for any B.

    Its metadata has the `task`, the names of the `classes` as JSON, and the `resize` before the centre is cropped.

    Args:
        student: of a run.
        file: where to.
        size: height and width of the images in pixels; None: of the training images.

    Returns:
        The names of its outputs: see `plain` of the task.

    Raises:
        UserError: the packages for it are missing, the network refuses images of this size, or has something that ONNX,
            or the exporter, has not.
        OSError: the file cannot be written.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise UserError("ONNX needs onnx and onnxscript: pip install 'tst-fast[onnx]'") from None
    model = standalone(student)
    images = torch.zeros(2, 3, *(size or student.task.image_size))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own code
        try:
            names = list(model(images))
        except (RuntimeError, ValueError, AssertionError) as error:  # of the training images' size, it was asked before
            why, height, width = str(error).partition("\n")[0].rstrip("."), *images.shape[2:]
            name = student.config.student.name
            raise UserError(f"--size {height} {width}: {name} does not take images of this size: {why}") from None
        try:
            program = torch.onnx.export(
                model,
                (images,),
                input_names=[INPUT],
                output_names=names,
                dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            why = str(error).strip().splitlines()[0]
            raise UserError(f"{student.config.student.name} cannot be written as ONNX: {why}") from None
    assert program is not None  # as with `dynamo`
    program.model.metadata_props.update(_about(student))
    program.save(file)
    return names


def _about(student: Predictor) -> dict[str, str]:
    about: dict[str, Any] = {
        "task": student.task.name,
        "classes": json.dumps(list(student.classes)),
        "input": "RGB, 0..1, not normalised",
        "resize": student.config.data.resize,
    }
    return {name: str(value) for name, value in about.items() if value is not None}
