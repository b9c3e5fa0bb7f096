"""Object recognition: one label an image."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from tst_fast.config.data import BOXES, LABEL_MAPS, DataConfig
from tst_fast.config.imports import is_import_path
from tst_fast.config.schema import Config, TrainingConfig
from tst_fast.errors import Finding, UserError
from tst_fast.losses.search import label_distribution
from tst_fast.models import build_model
from tst_fast.models.evaluation import preparation
from tst_fast.policy.augmenter import Geometry
from tst_fast.tasks.absent_classes import absent
from tst_fast.tasks.image_files import image_files
from tst_fast.tasks.loading import dali_loader, decoding_threads, own_share
from tst_fast.tasks.metrics.classification import Accuracy
from tst_fast.tasks.mixing import Mixing
from tst_fast.tasks.own_code import check_term, distillation_term, own_splits, require_logits
from tst_fast.tasks.task import Answered, Decisions, Metric, Role, Shown, Splits
from tst_pipelines import (
    ArrayDataset,
    CachedLoader,
    Dataset,
    ImageDataset,
    Inspection,
    Loader,
    PadAndCrop,
    RandomResizedCrop,
    ResizeCenterCrop,
    SyntheticDataset,
    SyntheticLoader,
    Targets,
    Transform,
    cifar,
    digits,
    fits_in_cache,
    inspect_images,
    stratified,
)

TOP = 5
"""Classes that are told of each image without a label."""


class Classification:
    """The `Task` of recognition: a network's output is logits [B, C], and every image is a decision."""

    name = "classification"
    hub_name = "image-classification"
    metrics = (Metric("accuracy", "accuracy"), Metric("top5_accuracy", "top-5 accuracy"))
    composes_warps = False

    def __init__(self, config: Config, accelerator: Accelerator) -> None:
        self.config, self.accelerator = config, accelerator
        self.term = distillation_term(config.loss)

    @property
    def image_size(self) -> tuple[int, int]:
        """Squares."""
        side = self.config.data.image_size
        return side, side

    def check(self) -> None:
        """See `Task`."""
        data = self.config.data
        for task, names in (("segmentation", LABEL_MAPS), ("detection", BOXES)):
            if data.name in names:
                raise UserError(f"--data.name {data.name} is not for recognition: give --task {task} with it")
        if data.crop in ("scale", "fit"):
            raise UserError(f"--data.crop {data.crop} is not for recognition: give pad or random_resized")

    def splits(self) -> Splits:
        """Images to learn from and to evaluate on; see `load_splits`."""
        return load_splits(self.config.data)

    def inspection(self) -> Inspection:
        """Every image and shard in the folder."""
        data = self.config.data
        if data.root is None:
            raise UserError(f"--data.name {data.name} has no files to look at")
        return inspect_images(data.root)

    def training_loader(self, dataset: Dataset, seed: int) -> Loader:
        """See `Task`; padded and cropped, or a random region resized."""
        data = self.config.data
        if data.crop == "pad":
            transform = PadAndCrop(data.image_size, data.padding, data.flip)
        else:
            transform = RandomResizedCrop(data.image_size, flip=data.flip)
        return _loader(data, dataset, transform, self.accelerator, True, seed)

    def evaluation_loader(self, dataset: Dataset) -> Loader:
        """See `Task`; resized, then the centre."""
        return _loader(self.config.data, dataset, self.evaluation_transform, self.accelerator, False, 0)

    @property
    def evaluation_transform(self) -> ResizeCenterCrop:
        """The centre of the resized image; see `preparation`."""
        return ResizeCenterCrop(*preparation(self.config))

    def mixing(self, training: TrainingConfig, dataset: Dataset) -> Mixing:
        """Mixup, cutmix and label smoothing, as `training` says."""
        images = self.config.data.batch_size // self.accelerator.num_processes
        return Mixing(training, len(dataset.classes), images)

    def network(self, role: Role, dataset: Dataset) -> nn.Module:
        """See `build_model`."""
        chosen = getattr(self.config, role)
        new_head = chosen.takes_new_head(role)
        return build_model(chosen.name, len(dataset.classes), chosen.arguments, chosen.pretrained, new_head)

    def check_output(self, output: Tensor, role: Role, classes: int) -> None:
        """See `Task`; logits."""
        require_logits(output, (2, classes), f"--{role}.name {getattr(self.config, role).name}")

    def check_pair(self, student: nn.Module, teacher: nn.Module, classes: int) -> None:
        """Any learns from any, by a term that is one: logits are all that they have in common."""
        check_term(self.term, self.config.loss, classes, weighted=False)

    def kept(self, network: nn.Module) -> nn.Module:
        """All of it."""
        return network

    def predict(self, network: nn.Module, images: Tensor) -> Tensor:
        """One forward pass."""
        return network(images)

    def plain(self, output: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """`logits`, [B, C]."""
        return {"logits": output}

    def write_predictions(
        self, files: Sequence[str], answers: Iterable[Answered], classes: Sequence[str], folder: Path
    ) -> None:
        """`predictions.csv`: for each file its five likeliest classes, each with the network's confidence in it."""
        count = min(TOP, len(classes))
        with (folder / "predictions.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            table = csv.writer(file)
            later = (f"{name}_{place}" for place in range(2, count + 1) for name in ("class", "confidence"))
            table.writerow(["file", "class", "confidence", *later])
            for batch, logits in answers:
                found = logits.float().softmax(dim=1).topk(count)
                for name, *best in zip(batch.files, found.values.tolist(), found.indices.tolist(), strict=True):
                    pairs = zip(*best, strict=True)
                    table.writerow([name, *(cell for p, i in pairs for cell in (classes[i], f"{p:.6f}"))])

    def moved(self, targets: Targets, geometry: Geometry) -> Targets:
        """A class has no place in the image."""
        return targets

    def decisions(self, targets: Targets, geometry: Geometry | None = None) -> Decisions:
        """A row for each image."""
        return Decisions(targets.labels)

    def answers(self, output: Tensor, decisions: Decisions) -> Tensor:
        """The logits."""
        return output.float()

    def parts(self, output: Tensor, count: int) -> Sequence[Tensor]:
        """Equal parts of the logits."""
        return output.split(len(output) // count)

    def supervised(self, output: Tensor, targets: Targets) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(output.float(), targets.labels)

    def imitation(
        self, student: Tensor, teacher: Tensor, decisions: Decisions, answers: tuple[Tensor, Tensor]
    ) -> Tensor:
        """The distillation term."""
        return self.config.loss.alpha * self.term(*answers, decisions.labels, decisions.weights)

    def evaluator(self, dataset: Dataset) -> Accuracy:
        """Accuracy, whole and by class."""
        return Accuracy(dataset.classes, self.accelerator.device)

    def checks(self, splits: Splits) -> Iterator[Finding]:
        """Images of each class; absent ones."""
        names = splits.train.classes
        counts, tested = (np.bincount(_labels(data), minlength=len(names)) for data in (splits.train, splits.test))
        found = (
            f"{len(names)} classes, {counts.min():,} to {counts.max():,} training images each; {tested.sum():,} to test"
        )
        if remedy := self.absent(splits):
            yield Finding("classes", "wrong", found, remedy)
        elif (tested == 0).any():
            untested = ", ".join(names[i] for i in np.flatnonzero(tested == 0)[:5])
            yield Finding("classes", "doubtful", found, f"no test image of {untested}: accuracy says nothing of them")
        else:
            yield Finding("classes", "good", found)

    def absent(self, splits: Splits) -> str:
        """Classes without a training image."""
        names = splits.train.classes
        return absent("training image", names, np.bincount(_labels(splits.train), minlength=len(names)))

    def scrambled(self, output: Tensor) -> Tensor:
        """Random logits."""
        generator = torch.Generator().manual_seed(0)
        return 5 * torch.randn(output.shape, generator=generator).to(output)

    def confidences(self, output: Tensor, targets: Targets) -> Tensor:
        """The probability of the true class."""
        probabilities = output.float().softmax(dim=1)
        return (label_distribution(targets.labels, probabilities) * probabilities).sum(dim=1)

    def answered(self, output: Tensor) -> Tensor:
        """The likeliest class."""
        return output.argmax(dim=1)

    def pictures(self, images: Tensor, targets: Targets, output: Tensor) -> Sequence[np.ndarray]:
        """The images as they are: an answer is written below them."""
        return list(images[..., :3].cpu().numpy())

    def draw_answers(self, file: Path, plain: Shown, outputs: Mapping[str, Tensor], augmented: Shown) -> None:
        """Nothing: an answer is a word."""


def load_splits(config: DataConfig) -> Splits:
    """List the images that `config` names; of the training images, the share that it asks for.

    Raises:
        UserError, tst_pipelines.DataError: they are not there, or not laid out as named; see `image_files`.
    """
    splits = _whole_splits(config)
    if config.fraction == 1:
        return splits
    kept = stratified(_labels(splits.train), config.fraction, config.fraction_seed)
    return Splits(splits.train.select(kept), splits.test)


def _labels(dataset: Dataset) -> np.ndarray:
    """int64 [N], of a data set that `load_splits` gave."""
    assert isinstance(dataset, ImageDataset | ArrayDataset | SyntheticDataset)
    return dataset.labels


def _whole_splits(config: DataConfig) -> Splits:
    if config.name == "digits":
        return Splits(*digits())
    if config.name == "synthetic":
        test_images = max(config.images // 10, 1)
        return Splits(
            SyntheticDataset(config.images, config.classes), SyntheticDataset(test_images, config.classes, seed=1)
        )
    if is_import_path(config.name):
        return Splits(*own_splits(config, (ImageDataset, ArrayDataset)))
    if config.name in ("cifar10", "cifar100"):
        assert config.root is not None  # `checks.check` demands it
        return Splits(*cifar(config.name, config.root, config.download))
    return Splits(*image_files(config))


def _loader(
    config: DataConfig, dataset: Dataset, transform: Transform, accelerator: Accelerator, training: bool, seed: int
) -> Loader:
    batch_size = config.batch_size // accelerator.num_processes  # `make_task` refused what does not divide
    share = own_share(accelerator, training, seed)
    if isinstance(dataset, SyntheticDataset):
        return SyntheticLoader(dataset, config.image_size, batch_size, share)
    assert isinstance(dataset, ImageDataset | ArrayDataset)  # as of `load_splits`
    if _cached(config, dataset, transform):
        return CachedLoader(dataset, transform, batch_size, share, threads=decoding_threads(config))
    assert isinstance(dataset, ImageDataset)  # `_cached` refused what has no files
    return dali_loader(config, dataset, transform, batch_size, share)


def _cached(config: DataConfig, dataset: ImageDataset | ArrayDataset, transform: Transform) -> bool:
    """Whether the images are kept in memory, as `config.loader` says."""
    in_memory = isinstance(dataset, ArrayDataset)
    if config.loader == "dali" and in_memory:
        raise UserError(f"--data.loader dali reads image files, and this {config.name} has none: use cached")
    if config.loader != "auto":
        return config.loader == "cached"
    return in_memory or (config.crop == "pad" and fits_in_cache(dataset, transform))
