"""What segmentation and detection share: targets, label maps or boxes, that move with the image."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from accelerate import Accelerator

from tst_fast.config.imports import is_import_path
from tst_fast.config.schema import Config, TrainingConfig
from tst_fast.errors import UserError
from tst_fast.tasks.loading import open_loader, own_share
from tst_pipelines import Batch, Dataset, DetectionDataset, FitAndPad, Loader, PairDataset, Whole
from tst_pipelines.transforms import PlacingTransform


class DenseTask(ABC):
    """Part of a `Task`: images are cropped to `data.crop_size` with their targets, and labels are never mixed."""

    composes_warps: ClassVar[bool] = True

    def __init__(self, config: Config, accelerator: Accelerator) -> None:
        self.config, self.accelerator = config, accelerator
        self.classes: tuple[str, ...] = ()  # of the data; known when a network is made

    @property
    @abstractmethod
    def training_transform(self) -> PlacingTransform:
        """How images and their targets are transformed for training."""

    @property
    @abstractmethod
    def evaluation_transform(self) -> Whole | FitAndPad:
        """See `Task`."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the training crops, in pixels."""
        height, width = self.config.data.crop_size
        return height, width

    @property
    def fill(self) -> tuple[int, int, int]:
        """Colour of the padding: the mean, which is 0 once it is normalised."""
        red, green, blue = (round(255 * value) for value in self.config.data.mean)
        return red, green, blue

    def training_loader(self, dataset: Dataset, seed: int) -> Loader:
        """See `Task`; by `training_transform`."""
        assert isinstance(dataset, PairDataset | DetectionDataset)  # as of `splits`
        data, share = self.config.data, own_share(self.accelerator, True, seed)
        return open_loader(data, dataset, self.training_transform, data.batch_size // share.world_size, share)

    def evaluation_loader(self, dataset: Dataset) -> Loader:
        """See `Task`; by `evaluation_transform`."""
        assert isinstance(dataset, PairDataset | DetectionDataset)  # as of `splits`
        share = own_share(self.accelerator, False, 0)
        return open_loader(self.config.data, dataset, self.evaluation_transform, self.test_batch_size, share)

    @property
    def test_batch_size(self) -> int:
        """Test images at a time, in each process."""
        data = self.config.data
        return data.test_batch_size or data.batch_size // self.accelerator.num_processes

    def mixing(self, training: TrainingConfig, dataset: Dataset) -> Callable[[Batch], Batch]:
        """Nothing: `check_dense_options` has refused all of it."""
        return lambda batch: batch


def check_dense_options(config: Config, names: tuple[str, ...], crop: str, targets: str) -> None:
    """Refuse options that have no meaning for targets that move with the image.

    Args:
        config: of the run.
        names: of the data sets with such targets.
        crop: the value of `data.crop` that crops them, too.
        targets: what they are called.

    Raises:
        UserError: with the flag and the remedy.
    """
    data = config.data
    if data.name not in names and not is_import_path(data.name):
        raise UserError(f"--data.name {data.name} has no {targets}: give one of {', '.join(names)}")
    if data.crop != crop:
        raise UserError(f"--data.crop {data.crop} is not for {targets}: give --data.crop {crop}")
    if config.policy.prior != "exact":
        raise UserError(f"--policy.prior {config.policy.prior} is not for {config.task}: give --policy.prior exact")
    for training in ("teacher_training", "student_training"):
        for option in ("mixup", "cutmix", "label_smoothing"):
            if getattr(getattr(config, training), option) > 0:
                raise UserError(f"--{training}.{option} is not for {config.task}: set it to 0")


def check_crop(size: tuple[int, int], multiple: int, role: str, flag: str = "data.crop_size") -> None:
    """Refuse crops whose pixels do not fill the cells of a network's coarsest map.

    Args:
        size: height and width, in pixels.
        multiple: of how many pixels sides must be.
        role: what the network is to the user: "teacher" or "student".
        flag: where the size is from.

    Raises:
        UserError: with the next sizes that do.
    """
    if any(side % multiple for side in size):
        below, above = ([max(side // multiple + more, 1) * multiple for side in size] for more in (0, 1))
        fitting = [side if side % multiple == 0 else next_ for side, next_ in zip(size, above, strict=True)]
        smaller = [side if side % multiple == 0 else last for side, last in zip(size, below, strict=True)]
        raise UserError(
            f"--{flag} is {list(size)}, but both sides must be multiples of {multiple} for --{role}.name: take "
            f"{smaller} or {fitting}"
        )
