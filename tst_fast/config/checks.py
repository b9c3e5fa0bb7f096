"""Values that cannot work, refused before anything is loaded."""

from tst_fast.config.data import DATA_SETS, DataConfig
from tst_fast.config.imports import is_import_path
from tst_fast.config.policy import PolicyConfig
from tst_fast.config.ranges import check_ranges
from tst_fast.config.schema import Config, TrainingConfig
from tst_fast.errors import UserError, nearest

MAX_NAME = 100
"""Bytes of a run's name; the time is added to it."""


def check(config: Config) -> None:
    """Refuse values that cannot work, before anything is loaded.

    Raises:
        UserError: the message names the flag, its value and the remedy.
    """
    check_ranges(config)
    _check_name(config.name)
    from tst_fast.losses.distillation import LOSSES  # these two import torch, for which a typo should not wait
    from tst_kernels.operations import find_operation

    policy, data = config.policy, config.data
    try:
        codes = [find_operation(name).code for name in policy.operations]
    except ValueError as error:
        raise UserError(f"--policy.operations: {error}") from None
    _require(len(set(codes)) == len(codes), "--policy.operations names an operation twice: leave one of them out")
    _require(
        len(codes) > 0,
        "--policy.operations is empty: name one or more, or leave augmentation out by --distillation.augment false",
    )
    _require(
        1 <= policy.operations_per_image <= len(codes),
        f"--policy.operations_per_image is {policy.operations_per_image}: it must be from 1 to the {len(codes)} "
        "operations in --policy.operations",
    )
    halves = config.distillation
    _require(
        not (halves.second_crop and halves.has_policy),
        "--distillation.second_crop takes the place of the augmented images: give --distillation.augment false with it",
    )
    untaught = config.distillation.teacher and not config.teacher.trained and config.teacher_training.epochs == 0
    _require(not untaught, "--teacher_training.epochs is 0 and there is no --teacher.checkpoint: give one of them")
    _require(not config.student.fine_tune, "--student.fine_tune is given, but the student is trained in any case")
    weights = config.teacher.checkpoint is not None or config.teacher.pretrained
    _require(
        weights or not config.teacher.fine_tune,
        "--teacher.fine_tune is given without weights to begin with: give --teacher.checkpoint or --teacher.pretrained",
    )
    _check_search(policy, config.student_training.epochs)
    _check_training("teacher_training", config.teacher_training)
    _check_training("student_training", config.student_training)
    _require(
        data.name in DATA_SETS or is_import_path(data.name),
        f"--data.name is {data.name!r}{nearest(data.name, DATA_SETS)} Data sets are {', '.join(DATA_SETS)}.",
    )
    _check_files(data)
    _check_label_maps(data)
    known = list(LOSSES)
    _require(
        config.loss.name in known or is_import_path(config.loss.name),
        f"--loss.name is {config.loss.name!r}{nearest(config.loss.name, known)} Losses are {', '.join(known)}.",
    )
    for role in ("teacher", "student"):
        model = getattr(config, role)
        twice = model.checkpoint and model.pretrained
        _require(not twice, f"--{role}.checkpoint and --{role}.pretrained both give weights: leave one of them out")
        orphan = model.sha256 and not model.checkpoint
        _require(not orphan, f"--{role}.sha256 is given without --{role}.checkpoint, the file that it is of")


def _check_name(name: str) -> None:
    """A run's folder is made of it, inside --output and nowhere else."""
    plain = name.isprintable() and "/" not in name and name.strip() == name
    _require(
        plain and not name.startswith(".") and 1 <= len(name.encode()) <= MAX_NAME,
        f"--name is {name[:MAX_NAME]!r}: it becomes the name of a folder, so it must have 1 to {MAX_NAME} bytes, no "
        "slash, and no dot at its beginning",
    )


def _check_search(policy: PolicyConfig, epochs: int) -> None:
    auto = policy.search_at == "auto"
    late = [] if policy.search_at == "auto" else [epoch for epoch in policy.search_at if not 0 <= epoch < epochs]
    of_epochs = f"the student's epochs are 0 to {epochs - 1}" if epochs else "--student_training.epochs is 0"
    _require(
        policy.search != "listed" or not late,
        f"--policy.search_at has {late}, but {of_epochs}: leave them out",
    )
    sure = policy.search_confidences
    _require(
        not auto or (len(sure) > 0 and sure == sorted(set(sure)) and sure[0] > 0 and sure[-1] < 1),
        f"--policy.search_confidences is {sure}: for --policy.search_at auto it must hold values between 0 and 1, from "
        "low to high",
    )
    _require(
        policy.search_steps <= policy.search_every,
        f"--policy.search_steps is {policy.search_steps}, but there are only {policy.search_every} batches in "
        "--policy.search_every: the policy takes at most one step on each",
    )


def _check_training(name: str, training: TrainingConfig) -> None:
    optimizer, epochs = training.optimizer, training.epochs
    warmup = optimizer.warmup_epochs
    _require(
        warmup == 0 or (0 < warmup < epochs and optimizer.schedule != "one_cycle"),
        f"--{name}.optimizer.warmup_epochs is {warmup}: it must be 0, or below --{name}.epochs ({epochs}), and 0 for "
        "one_cycle, which has its own",
    )


def _check_files(data: DataConfig) -> None:
    """What names the images, by the kind of data set that they are."""
    on_disk = data.name in ("folder", "imagenet", "list", "webdataset")
    rooted = on_disk or data.name in ("cifar10", "cifar100", "pairs", "cityscapes", "coco")
    _require(not rooted or data.root is not None, "--data.root is missing: name the folder of the images")
    _require(
        data.exclude is None or on_disk or data.name in ("pairs", "cityscapes", "coco"),
        f"--data.exclude: {data.name} has no files to leave out",
    )
    takes = {
        "train": ("list", "webdataset", "pairs", "coco"),
        "test": ("list", "webdataset", "imagenet", "pairs", "coco"),
    }
    for flag, names in takes.items():
        given = getattr(data, flag) is not None
        _require(not given or data.name in names, f"--data.{flag} is for --data.name {' or '.join(names)}")
        _require(given or data.name != "list", f"--data.{flag} is missing: name the text file of lines FILE LABEL")


def _check_label_maps(data: DataConfig) -> None:
    """What images with a class for each pixel are read from, cropped to and evaluated in."""
    for flag in ("train_labels", "test_labels"):
        apart = data.name in ("pairs", "coco")
        _require(not getattr(data, flag) or apart, f"--data.{flag} is for --data.name pairs or coco")
    for flag in ("image_suffix", "label_suffix", "class_names", "ids", "ignored"):
        _require(not getattr(data, flag) or data.name == "pairs", f"--data.{flag} is for --data.name pairs")
    _require(
        data.name != "pairs" or 1 <= len(data.class_names) <= 254,
        f"--data.class_names has {len(data.class_names)} names: name 1 to 254 classes, in the order of their numbers",
    )
    low, high = data.scale
    _require(low <= high, f"--data.scale is {list(data.scale)}: it must be least and greatest factor")
    stepless = data.window_step is None or data.window is not None
    _require(stepless, "--data.window_step is given without --data.window, whose step it is")
    if data.window_step is not None and data.window is not None:
        fits = all(step <= side for step, side in zip(data.window_step, data.window, strict=True))
        between = f"--data.window_step is {list(data.window_step)}, more than the window {list(data.window)}: pixels"
        _require(fits, f"{between} between two windows would have no answer")


def _require(valid: bool, message: str) -> None:
    if not valid:
        raise UserError(message)
