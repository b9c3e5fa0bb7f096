"""Predictions of a student for a folder of unlabelled images."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from tst_fast.config import reading
from tst_fast.config.schema import replace
from tst_fast.errors import UserError
from tst_fast.models.weights import saved_classes
from tst_fast.run.session import make_network, with_weights
from tst_fast.tasks import make_task
from tst_fast.tasks.loading import decoding_threads
from tst_kernels import normalise
from tst_pipelines import ImageDataset, UnlabelledBatch, images_at, unlabelled_batches

Report = Callable[[str, str], None]


class Predictor:
    """A run's student, made as the run's configuration says.

    Args:
        student: a run's folder, or the `student.safetensors` in it.
        accelerator: one process; device and precision.
        said: import paths of code that the configuration may name, see `imports.require_said`.

    Raises:
        UserError: there is no student, or no configuration beside it, or the two do not belong together.
        tst_pipelines.DataError: the names of its classes are not in its file, as of one from 0.1.0, and the data set
            is not there either.
    """

    def __init__(self, student: Path, accelerator: Accelerator, said: Sequence[str] = ()) -> None:
        self.accelerator = accelerator
        file = student / "student.safetensors" if student.is_dir() else student
        if not file.is_file():
            raise UserError(f"{student} is neither a run's folder with its student.safetensors nor such a file")
        if not (file.parent / "config.yaml").is_file():
            raise UserError(f"{file.parent} holds no config.yaml, which says what {file.name} is: leave it in its run")
        config = reading.load(file.parent / "config.yaml", said)
        config = replace(config, sync_batch_norm=False, compile_networks=False)
        self.config = with_weights(config, "student", file)
        self.task = make_task(self.config, accelerator)
        self.classes = saved_classes(file) or self.task.splits().train.classes
        nothing = ImageDataset(file.parent, [], np.zeros(0, np.int64), self.classes)
        self.network = make_network(self.config, "student", self.task, nothing, accelerator.device).eval()

    def write(self, images: Path, folder: Path, report: Report, advance: Callable[[int, int], None]) -> int:
        """Answer every image below a folder and write the answers, as the task does, into another.

        Args:
            images: a folder, or an image file.
            folder: where to; it is made, and must be empty if it is there.
            report: told the name of an image that cannot be read, and what is wrong with it.
            advance: called with how many images have been answered, and how many there are.

        Returns:
            How many were answered.

        Raises:
            UserError: the folder is not empty, or cannot be written to.
            tst_pipelines.DataError: there are no images.
        """
        root, files = images_at(images)
        answered = 0

        def counted() -> Iterator[tuple[UnlabelledBatch, Any]]:
            nonlocal answered
            for batch, output in self._answers(root, files, report):
                yield batch, output
                answered += len(batch.files)
                advance(answered, len(files))

        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UserError(f"--output {folder} is not empty, and nothing in it is to be overwritten: name another")
            self.task.write_predictions(files, counted(), self.classes, folder)
        except OSError as error:
            raise UserError(f"--output {folder} cannot be written: {error.strerror or error}") from None
        return answered

    def _answers(self, root: Path, files: list[str], report: Report) -> Iterator[tuple[UnlabelledBatch, Any]]:
        data, accelerator = self.config.data, self.accelerator
        size = data.test_batch_size or data.batch_size
        transform = self.task.evaluation_transform
        for batch in unlabelled_batches(root, files, transform, size, threads=decoding_threads(data), report=report):
            images = normalise(batch.images.to(accelerator.device), data.mean, data.std)
            with torch.no_grad(), accelerator.autocast():
                yield batch, self.task.predict(self.network, images)
